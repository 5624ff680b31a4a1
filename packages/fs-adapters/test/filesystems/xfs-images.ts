import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { cannotMount, emptyImage, hashesOf, MiB, run, runWith } from './images.ts'
import { type FilesystemTools, mergedRanges } from './used-map-conformance.ts'

/** How to make an XFS. */
export interface XfsCase {
  readonly name: string
  readonly sizeBytes: number
  /** Arguments of mkfs.xfs. */
  readonly options: string
}

export const XFS_CASES: readonly XfsCase[] = [
  { name: 'defaults', sizeBytes: 64 * MiB, options: '-d agcount=3 -l size=8m' },
  {
    name: 'a size that is no block',
    sizeBytes: 64 * MiB + 3000,
    options: '-b size=2k -d agcount=2 -l size=8m',
  },
  {
    name: 'all trees, 1K',
    sizeBytes: 64 * MiB,
    options: '-b size=1k -m rmapbt=1,reflink=1,finobt=1 -l size=8m',
  },
  {
    name: 'no further trees',
    sizeBytes: 48 * MiB,
    options: '-m rmapbt=0,reflink=0,finobt=0,inobtcount=0 -i sparse=0 -l size=8m',
  },
  {
    name: 'large extent counts, large inodes',
    sizeBytes: 128 * MiB,
    options: '-d agcount=4 -i nrext64=1,size=2048 -l size=18m -m bigtime=1',
  },
  {
    name: 'sectors of 4K, log in stripes',
    sizeBytes: 80 * MiB,
    options: '-s size=4096 -l su=256k,size=20m -d su=64k,sw=2,agcount=3',
  },
  { name: '64K', sizeBytes: 128 * MiB, options: '-b size=64k -d agcount=2' },
  {
    name: 'names without case, 32 bit project ids',
    sizeBytes: 48 * MiB,
    options: '-n version=ci -l size=8m',
  },
  { name: 'version 4', sizeBytes: 48 * MiB, options: '-m crc=0 -d agcount=3 -l size=4m' },
  { name: 'version 4, 512', sizeBytes: 48 * MiB, options: '-m crc=0 -b size=512 -l size=4m' },
  {
    name: 'version 4, as it first was',
    sizeBytes: 48 * MiB,
    options: '-m crc=0 -n ftype=0 -i attr=1,projid32bit=0 -l version=1,lazy-count=0,size=4m',
  },
]

/** What mkfs.xfs takes and the space maps could mind; it refuses some of them. */
export const anyXfs: fc.Arbitrary<XfsCase> = fc
  .record({
    blockBytes: fc.constantFrom(1024, 2048, 4096, 8192),
    sectorBytes: fc.constantFrom(512, 512, 4096),
    checksums: fc.boolean(),
    features: fc.subarray(['finobt', 'rmapbt', 'reflink', 'inobtcount', 'bigtime'] as const),
    inodes: fc.constantFrom(2, 4, 8),
    groups: fc.integer({ min: 2, max: 5 }),
    groupBytes: fc.integer({ min: 20 * MiB, max: 40 * MiB }),
    logBytes: fc.integer({ min: 5 * MiB, max: 19 * MiB }),
    tailBytes: fc.integer({ min: 0, max: 70_000 }),
  })
  .map((o): XfsCase => {
    const all = ['finobt', 'rmapbt', 'reflink', 'inobtcount', 'bigtime'] as const
    const features = o.checksums
      ? all.map((name) => `${name}=${o.features.includes(name) ? 1 : 0}`).join(',')
      : 'crc=0'
    const inodeBytes = Math.min(2048, Math.max(o.checksums ? 512 : 256, o.blockBytes / o.inodes))
    const sectorBytes = Math.min(o.sectorBytes, o.blockBytes)
    const logBytes = Math.floor(o.logBytes / 65536) * 65536
    const options = `-m ${features} -b size=${o.blockBytes} -s size=${sectorBytes} -i size=${inodeBytes} -d agcount=${o.groups} -l size=${logBytes}`
    return { name: options, options, sizeBytes: o.groups * o.groupBytes + o.tailBytes }
  })

/** Small filesystems are for tests only, and these are what mkfs.xfs takes for a test. */
const FOR_TESTS = { TEST_DIR: '/', TEST_DEV: '/', QA_CHECK_FS: '1' }

/** Makes the filesystem, with the files of a folder in it. */
export function formatXfs(path: string, { sizeBytes, options }: Omit<XfsCase, 'name'>, files?: string): void {
  rmSync(path, { force: true })
  emptyImage(path, sizeBytes)
  const prototype = `${path}.proto`
  if (files !== undefined)
    writeFileSync(prototype, ['/dev/null', '0 0', ...prototypeOf(files, ''), ''].join('\n'))
  const filled = files === undefined ? [] : ['-p', prototype]
  const args = ['-q', '-f', '-L', 'some label', ...filled, ...options.split(' '), path]
  runWith({ variables: FOR_TESTS }, 'mkfs.xfs', ...args)
}

function prototypeOf(folder: string, name: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? prototypeOf(path, entry.name) : [`${entry.name} ---644 0 0 ${path}`]
  })
  return [`${name} d--755 0 0`, ...entries, '$']
}

/**
 * Check and contents. `paths` are the files that are in it; where they are given they are read without mounting, which
 * kernels do not all do any more with version 4.
 */
export function xfsTools(paths?: readonly string[]): FilesystemTools {
  return {
    check: (image) => run('xfs_repair', '-n', '-f', image),
    hashes: (image, scratch) =>
      paths === undefined ? mountedHashes(image, scratch) : readHashes(image, paths),
    partclone: 'partclone.xfs',
    // It leaves out the blocks that are put aside for the trees of free space.
    partcloneCopiesLess: true,
  }
}

export const cannotMountXfs: string | false = cannotMount('xfs')

function mountedHashes(image: string, mountPoint: string): Record<string, string> {
  mkdirSync(mountPoint, { recursive: true })
  run('mount', '-t', 'xfs', '-o', 'loop,ro,norecovery,nouuid', image, mountPoint)
  try {
    return hashesOf(mountPoint)
  } finally {
    run('umount', mountPoint)
  }
}

/** Follows the extents that xfs_db tells. */
function readHashes(image: string, paths: readonly string[]): Record<string, string> {
  const { blockBytes, groupBlocks } = geometryOf(image)
  const commands = paths.flatMap((path) => ['-c', `path /${path}`, '-c', 'p core.size', '-c', 'bmap'])
  const bytes = readFileSync(image)
  const files = run('xfs_db', '-r', '-f', ...commands, image)
    .split('core.size = ')
    .slice(1)
  if (files.length !== paths.length) throw new Error(`xfs_db finds ${files.length} of ${paths.length} files`)
  return Object.fromEntries(
    files.map((text, i) => {
      const content = Buffer.alloc(Number.parseInt(text, 10))
      for (const [, at, group, block, count] of text.matchAll(
        /offset (\d+) startblock \d+ \((\d+)\/(\d+)\) count (\d+)/g,
      )) {
        const start = (Number(group) * groupBlocks + Number(block)) * blockBytes
        bytes.copy(content, Number(at) * blockBytes, start, start + Number(count) * blockBytes)
      }
      return [paths[i]!, createHash('sha256').update(content).digest('hex')]
    }),
  )
}

export function geometryOf(image: string): { readonly blockBytes: number; readonly groupBlocks: number } {
  const text = run('xfs_db', '-r', '-f', '-c', 'sb 0', '-c', 'p blocksize agblocks', image)
  const [blockBytes, groupBlocks] = [...text.matchAll(/= (\d+)/g)].map(([, digits]) => Number(digits))
  return { blockBytes: blockBytes!, groupBlocks: groupBlocks! }
}

/** Runs of free blocks as xfs_db tells them, but for those that are reserved, `first-last` in blocks of the volume. */
export function dumpedXfs(image: string): string[] {
  const { groupBlocks } = geometryOf(image)
  const text = run('xfs_db', '-r', '-f', '-c', 'freesp -d', image)
  const reserved = new Set([...reservedBlocks(image)].map(([group, block]) => `${group} ${block}`))
  const ranges: [number, number][] = []
  for (const [, group, block, length] of text.matchAll(/^ +(\d+) +(\d+) +(\d+)$/gm)) {
    if (reserved.has(`${group} ${block}`)) continue
    const first = Number(group) * groupBlocks + Number(block)
    ranges.push([first, first + Number(length) - 1])
  }
  return mergedRanges(ranges)
}

function* reservedBlocks(image: string): Generator<[group: number, block: number]> {
  const groups = Number(/= (\d+)/.exec(run('xfs_db', '-r', '-f', '-c', 'sb 0', '-c', 'p agcount', image))![1])
  const commands = Array.from({ length: groups }, (_, group) => [
    ...['-c', `agf ${group}`, '-c', 'p flfirst fllast flcount'],
    ...['-c', `agfl ${group}`, '-c', 'p bno'],
  ])
  const answers = run('xfs_db', '-r', '-f', ...commands.flat(), image)
    .split('flfirst = ')
    .slice(1)
  for (const [group, answer] of answers.entries()) {
    const first = Number.parseInt(answer, 10)
    const count = Number(/flcount = (\d+)/.exec(answer)![1])
    const blocks = new Map(
      [...answer.matchAll(/(\d+)(?:-(\d+))?:(\d+|null)/g)].map(([, at, , block]) => [
        Number(at),
        Number(block),
      ]),
    )
    const size = /(\d+):(?:\d+|null)\s*$|-(\d+):null\s*$/.exec(answer.slice(answer.indexOf('bno')))
    const capacity = 1 + Number(size![1] ?? size![2])
    for (let i = 0; i < count; i++) yield [group, blocks.get((first + i) % capacity)!]
  }
}

const ZEROS = new Uint8Array(4)

/** Puts right checksums into what has one, where the mark of a structure stands at the beginning of a sector. */
export function sealXfs(
  bytes: Uint8Array,
  blockBytes: number,
  crc32c: (...pieces: Uint8Array[]) => number,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const places: Readonly<Record<string, readonly [at: number, length: number]>> = {
    XFSB: [224, 512],
    XAGF: [216, 512],
    XAGI: [312, 512],
    XAFL: [32, 512],
    AB3B: [52, blockBytes],
    AB3C: [52, blockBytes],
  }
  for (let at = 0; at < bytes.length; at += 512) {
    // All marks begin with X or A; most sectors do not.
    if (bytes[at] !== 0x58 && bytes[at] !== 0x41) continue
    const [place, length] = places[String.fromCharCode(...bytes.subarray(at, at + 4))] ?? []
    if (place === undefined || length === undefined) continue
    const [before, after] = [bytes.subarray(at, at + place), bytes.subarray(at + place + 4, at + length)]
    view.setUint32(at + place, crc32c(before, ZEROS, after), true)
  }
}
