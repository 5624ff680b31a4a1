import { createHash } from 'node:crypto'
import { lstatSync, type Stats } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Entry } from './entry.ts'

/** The files of one directory of a source tree, in order of name. */
export interface SourceDirectory {
  readonly path: string
  readonly entries: readonly Entry[]
}

/**
 * Finds the files under some folders that may go on a disk.
 *
 * Takes regular files that anybody may read, each inode once, and stays on the filesystem of each root.
 * Names that mean something else in a debugfs command are left out.
 */
export async function scanSourceTree(
  roots: readonly string[],
  signal?: AbortSignal,
): Promise<SourceDirectory[]> {
  const seen = new Set<string>()
  const directories: SourceDirectory[] = []
  for (const root of roots) {
    const stats = lstatSync(root, { throwIfNoEntry: false })
    if (stats?.isDirectory()) await scanDirectory(root, stats.dev, seen, directories, signal)
  }
  return directories
}

/** Orders directories by a hash of their paths: arbitrary, and the same every time. */
export function shuffleDirectories(directories: readonly SourceDirectory[], salt: string): SourceDirectory[] {
  return directories
    .map((directory) => ({
      directory,
      rank: createHash('sha256')
        .update(salt + directory.path)
        .digest('hex'),
    }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ directory }) => directory)
}

async function scanDirectory(
  path: string,
  device: number,
  seen: Set<string>,
  directories: SourceDirectory[],
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted()
  const names = (await readdir(path).catch(ignoreUnreadable)).filter(isPlainName).sort()
  const entries: Entry[] = []
  const children: string[] = []
  for (const name of names) {
    const file = join(path, name)
    // Many small calls: the synchronous ones are ten times as fast.
    const found = lstatSync(file, { throwIfNoEntry: false })
    if (found === undefined || found.dev !== device) continue
    if (found.isDirectory()) children.push(file)
    else if (isPublicFile(found) && !seen.has(identity(found))) {
      seen.add(identity(found))
      entries.push({ directory: path, name, sizeBytes: found.size, content: { from: 'file', path: file } })
    }
  }
  if (entries.length > 0) directories.push({ path, entries })
  for (const child of children) await scanDirectory(child, device, seen, directories, signal)
}

function isPlainName(name: string): boolean {
  return /^[\x21\x23-\x3b\x3d-\x7e]+$/.test(name)
}

function isPublicFile(stats: Stats): boolean {
  return stats.isFile() && stats.size > 0 && (stats.mode & 0o004) !== 0
}

function identity(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`
}

function ignoreUnreadable(): string[] {
  return []
}
