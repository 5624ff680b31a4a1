import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { findTool, runTool } from '../measure/tool.ts'
import type { ByteRange } from './disk-layout.ts'
import type { Entry } from './entry.ts'
import { readContent } from './entry.ts'
import { BLOCK_BYTES } from './sparse-image.ts'

/** The programs of e2fsprogs which make and fill a filesystem without mounting it. */
export interface Ext4Tools {
  readonly mke2fs: string
  readonly debugfs: string
}

/** A partition in the image of a disk. */
export interface Ext4Place {
  readonly image: string
  readonly range: ByteRange
}

/** What would otherwise be random in a new filesystem. */
export interface Ext4Identity {
  readonly uuid: string
  readonly hashSeed: string
}

export async function findExt4Tools(): Promise<Ext4Tools | undefined> {
  const [mke2fs, debugfs] = await Promise.all([findTool('mke2fs'), findTool('debugfs')])
  return mke2fs === undefined || debugfs === undefined ? undefined : { mke2fs, debugfs }
}

/** Makes an empty ext4 filesystem in a partition of a sparse image. */
export async function makeExt4(
  tools: Ext4Tools,
  place: Ext4Place,
  identity: Ext4Identity,
  signal?: AbortSignal,
): Promise<void> {
  const { offset, length } = place.range
  const extended = `offset=${offset},hash_seed=${identity.hashSeed},root_owner=0:0,lazy_itable_init=1`
  const args = ['-q', '-F', '-t', 'ext4', '-b', `${BLOCK_BYTES}`, '-L', 'root', '-U', identity.uuid]
  args.push('-E', extended, place.image, `${length / 1024}k`)
  const { code, stderr } = await runTool(tools.mke2fs, args, toolOptions(signal))
  if (code !== 0) throw new Error(`mke2fs could not make the filesystem of ${place.image}: ${stderr}`)
}

/** Removes files from, and then writes files to, the filesystem in a partition. */
export async function changeExt4(
  tools: Ext4Tools,
  place: Ext4Place,
  change: {
    readonly removed: readonly Entry[]
    readonly added: readonly Entry[]
    readonly had: readonly Entry[]
  },
  signal?: AbortSignal,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'platter-corpus-'))
  try {
    const commands = change.removed.map((entry) => command('rm', `${entry.directory}/${entry.name}`))
    const made = new Set(change.had.flatMap((entry) => withAncestors(entry.directory)))
    for (const entry of change.added) {
      signal?.throwIfAborted()
      for (const directory of withAncestors(entry.directory)) {
        if (!made.has(directory)) commands.push(...makeDirectory(directory))
        made.add(directory)
      }
      commands.push(
        command('cd', entry.directory),
        command('write', await contentPath(entry, work), entry.name),
      )
    }
    await runDebugfs(tools, place, commands, join(work, 'commands'), signal)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/** The clock that e2fsprogs shall see: 2024-01-01. */
const FIXED_TIME = '1704067200'

function toolOptions(signal: AbortSignal | undefined) {
  const env = { E2FSPROGS_FAKE_TIME: FIXED_TIME, SOURCE_DATE_EPOCH: FIXED_TIME, TZ: 'UTC' }
  return signal === undefined ? { env } : { env, signal }
}

async function runDebugfs(
  tools: Ext4Tools,
  place: Ext4Place,
  commands: readonly string[],
  script: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await writeFile(script, `${commands.join('\n')}\n`)
  const args = ['-w', '-f', script, `${place.image}?offset=${place.range.offset}`]
  const { code, stderr } = await runTool(tools.debugfs, args, toolOptions(signal))
  // debugfs exits with 0 even if commands failed: only its first line of stderr, the version, is harmless.
  const complaints = stderr.split('\n').filter((line) => line !== '' && !/^debugfs \d/.test(line))
  if (code !== 0 || complaints.length > 0) {
    throw new Error(`debugfs could not fill ${place.image}: ${complaints.slice(0, 5).join('; ')}`)
  }
}

/** `/a/b` gives `/a`, `/a/b`. */
function withAncestors(directory: string): string[] {
  const above = dirname(directory)
  return directory === '/' ? [] : [...withAncestors(above), directory]
}

/** A line for debugfs. Words are quoted, since the folder that files come from may have a space in its name. */
function command(name: string, ...words: readonly string[]): string {
  return [name, ...words.map((word) => `"${word.replaceAll('"', '""')}"`)].join(' ')
}

/** debugfs makes directories, as it writes files, only in the one it is in. */
function makeDirectory(directory: string): string[] {
  return [command('cd', dirname(directory)), command('mkdir', basename(directory))]
}

/** debugfs copies from files, so made-up content has to become one first. */
async function contentPath(entry: Entry, work: string): Promise<string> {
  if (entry.content.from === 'file') return entry.content.path
  const folder = join(work, entry.directory)
  await mkdir(folder, { recursive: true })
  const path = join(folder, entry.name)
  await writeFile(path, readContent(entry))
  return path
}
