import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  CODEC,
  type CodecNumber,
  type Extent,
  type ExtentKind,
  type NodeId,
  PlatterError,
  packIdFrom,
  parseRepositoryId,
  parseSessionId,
  plainRecords,
  type RandomSource,
  type Store,
  SUITE,
  systemRandom,
} from '@platter/core'
import { MemorySource, MemoryStore } from '@platter/fs-adapters'
import { type InitOptions, Repository, type Snapshot } from '@platter/repo'
import * as fc from 'fast-check'
import { test } from 'tap'
import { HoleFinder } from '../dist/backup/hole-finder.js'
import { type PlanItem, planRegions } from '../dist/backup/plan-regions.js'
import { decodeConfig, encodeConfig } from '../dist/config/config-record.js'
import type { RepositoryConfig } from '../dist/config/repository-config.js'
import { BLOB_TYPE, type BlobEntry, type BlobType } from '../dist/format/blob-entry.js'
import { decodeIndexSegment, encodeIndexSegment, type IndexedPack } from '../dist/format/index-segment.js'
import { indexSegmentName } from '../dist/format/object-names.js'
import { packCipher } from '../dist/format/pack-cipher.js'
import {
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  packEndBytes,
  readPackDirectory,
  readPackTrailer,
} from '../dist/format/pack-file.js'
import { decodeSnapshot, encodeSnapshot } from '../dist/format/snapshot-record.js'
import { decodeNode, encodeNode, RUN, type RunKind } from '../dist/format/tree-node.js'
import { chunkIndexOf } from '../dist/index/chunk-index-builder.js'
import { ClaimTable } from '../dist/index/claim-table.js'
import { Claims } from '../dist/index/load-claims.js'
import type { BlobReader } from '../dist/pack/blob-reader.js'
import { PackAssembler } from '../dist/pack/pack-assembler.js'
import { TreeBuilder } from '../dist/tree/tree-builder.js'
import { rootLevel } from '../dist/tree/tree-shape.js'
import { VolumeTree } from '../dist/tree/volume-tree.js'
import { collected, listed, noise, sameBytes, seededRandom, words } from './images.ts'

const BLOCK = 4096
const HOLE = 64 * 1024

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** Fails with both sides in the message; quicker than tap's comparison where it is made ten thousand times. */
function assertSame(actual: unknown, expected: unknown, what: string): void {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== e) throw new Error(`${what}:\n${a}\ninstead of\n${e}`)
}

// --- holes -----------------------------------------------------------------------------------------------------

type Run = [kind: 'data' | 'hole' | 'unused', from: number, to: number]
/** A stretch of a region: blocks that are read, told zero from other, or a stretch that is known. */
type Stretch = { readonly kind: 'zeros' | 'data' | 'hole' | 'unused'; readonly blocks: number }

/** What the finder makes of a region whose read parts come in pieces of `pieceBlocks`. */
function foundRuns(start: number, tail: number, stretches: readonly Stretch[], pieceBlocks: number): Run[] {
  const runs: Run[] = []
  let position = start
  let fed = start
  let seen = start
  const finder = new HoleFinder({
    feed(end) {
      if (end < fed || end > seen) throw new Error(`fed ${end} after ${fed}, when ${seen} was seen`)
      fed = end
    },
    close(end) {
      if (end < fed || end > seen) throw new Error(`closed ${end} after ${fed}, when ${seen} was seen`)
      if (end > position) runs.push(['data', position, end])
      position = end
      fed = end
    },
    hole(from, to) {
      if (from !== position || to <= from) throw new Error(`a hole from ${from} to ${to} at ${position}`)
      runs.push(['hole', from, to])
      position = to
      fed = to
    },
    unused(from, to) {
      if (from !== position) throw new Error(`unused from ${from} at ${position}`)
      runs.push(['unused', from, to])
      position = to
      fed = to
    },
  })
  finder.start(start)
  let at = start
  let flags: number[] = []
  const read = (isLast: boolean): void => {
    for (let i = 0; i < flags.length; i += pieceBlocks) {
      const piece = flags.slice(i, i + pieceBlocks)
      const isEnd = isLast && i + pieceBlocks >= flags.length
      const end = at + piece.length * BLOCK - (isEnd ? tail : 0)
      seen = end
      // Flags behind the piece are left over from a longer one.
      finder.blocks(at, end, Uint8Array.of(...piece, 1, 0, 1))
      at += piece.length * BLOCK
    }
    flags = []
  }
  for (const { kind, blocks } of stretches) {
    if (kind === 'zeros' || kind === 'data') {
      flags.push(...new Array<number>(blocks).fill(kind === 'zeros' ? 1 : 0))
      continue
    }
    read(false)
    seen = at + blocks * BLOCK
    if (kind === 'hole') finder.knownHole(at)
    else finder.unused(at, blocks * BLOCK)
    at += blocks * BLOCK
  }
  const last = stretches.at(-1)
  const endsRead = last !== undefined && (last.kind === 'zeros' || last.kind === 'data')
  read(true)
  finder.end(at - (endsRead ? tail : 0))
  return runs
}

/** The same from the definition: block by block, then run by run. */
function naiveRuns(start: number, tail: number, stretches: readonly Stretch[]): Run[] {
  const kinds = stretches.flatMap(({ kind, blocks }) => new Array<Stretch['kind']>(blocks).fill(kind))
  const last = kinds.at(-1)
  const end = start + kinds.length * BLOCK - (last === 'zeros' || last === 'data' ? tail : 0)
  const at = (block: number): number => Math.min(end, start + block * BLOCK)
  // First every maximal run of zeros, read or known, is a hole or data as a whole.
  const final = kinds.map((kind) => (kind === 'zeros' ? 'data' : kind))
  for (let from = 0; from < kinds.length; ) {
    let to = from
    while (to < kinds.length && (kinds[to] === 'zeros' || kinds[to] === 'hole')) to++
    const isKnown = kinds.slice(from, to).includes('hole')
    const isAll = from === 0 && to === kinds.length
    if (to > from && (isKnown || isAll || at(to) - at(from) >= HOLE)) final.fill('hole', from, to)
    from = Math.max(to, from + 1)
  }
  const runs: Run[] = []
  for (let block = 0; block < final.length; block++) {
    const lastRun = runs.at(-1)
    if (lastRun !== undefined && lastRun[0] === final[block] && lastRun[0] !== 'unused')
      lastRun[2] = at(block + 1)
    else runs.push([final[block] as Run[0], at(block), at(block + 1)])
  }
  return runs
}

const stretch = fc.record({
  kind: fc.constantFrom(
    'zeros' as const,
    'zeros' as const,
    'data' as const,
    'data' as const,
    'hole' as const,
    'unused' as const,
  ),
  blocks: fc.oneof(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 14, max: 18 }),
    fc.integer({ min: 1, max: 40 }),
  ),
})

test('HoleFinder finds what block by block would be found, however the pieces fall', async (t) => {
  const mergedUnused = (runs: readonly Run[]): Run[] => {
    const merged: Run[] = []
    for (const [kind, from, to] of runs) {
      const last = merged.at(-1)
      if (last?.[0] === 'unused' && kind === 'unused') last[2] = to
      else merged.push([kind, from, to])
    }
    return merged
  }
  fc.assert(
    fc.property(
      fc.nat(3).map((n) => n * 2 ** 50),
      fc.array(stretch, { minLength: 1, maxLength: 8 }),
      fc.constantFrom(1, 2, 5, 16, 17, 1000),
      fc.constantFrom(0, 1, 4095),
      (start, stretches, pieceBlocks, tail) => {
        const found = mergedUnused(foundRuns(start, tail, stretches, pieceBlocks))
        assertSame(found, mergedUnused(naiveRuns(start, tail, stretches)), 'runs')
      },
    ),
    { numRuns: 5000 },
  )
  const blocks = (kind: Stretch['kind'], n: number): Stretch => ({ kind, blocks: n })
  t.same(foundRuns(0, 0, [blocks('data', 1), blocks('zeros', 16), blocks('data', 1)], 4), [
    ['data', 0, 4096],
    ['hole', 4096, 69632],
    ['data', 69632, 73728],
  ])
  t.same(
    foundRuns(0, 1, [blocks('data', 1), blocks('zeros', 16)], 4),
    [['data', 0, 17 * BLOCK - 1]],
    'a byte less than 64 KiB is none',
  )
  t.same(foundRuns(0, 4095, [blocks('zeros', 1)], 4), [['hole', 0, 1]], 'but zeros alone are, however few')
})

// --- regions ---------------------------------------------------------------------------------------------------

interface PlannedRegion {
  readonly offset: number
  readonly length: number
  readonly ranges: readonly (readonly [kind: RunKind, offset: number, length: number])[]
}

/** A plan region by region, with neighbouring ranges of a kind as one. */
function regionsOf(items: readonly PlanItem[], sizeBytes: number, regionBytes: number): PlannedRegion[] {
  const regions: PlannedRegion[] = []
  let offset = 0
  let blankBefore: RunKind | undefined
  for (const item of items) {
    if (item.type === 'task') {
      const { task } = item
      assertSame([task.offset, task.region], [offset, offset / regionBytes], 'a task in its place')
      const ranges: [RunKind, number, number][] = []
      let at = task.offset
      for (const range of task.ranges) {
        if (range.offset !== at || range.length <= 0)
          throw new Error(`a range at ${range.offset}, not at ${at}`)
        if (range.offset % BLOCK !== 0) throw new Error(`a range at ${range.offset}`)
        at += range.length
        const last = ranges.at(-1)
        if (last?.[0] === range.kind) last[2] += range.length
        else ranges.push([range.kind, range.offset, range.length])
      }
      if (at !== task.offset + task.length) throw new Error('the ranges do not cover their region')
      regions.push({ offset, length: task.length, ranges })
      offset += task.length
      blankBefore = undefined
      continue
    }
    if (item.kind === blankBefore) throw new Error('two blank items where one would do')
    blankBefore = item.kind
    let bytes = 0
    for (let i = 0; i < item.regions; i++) {
      const length = Math.min(regionBytes, sizeBytes - offset)
      regions.push({ offset, length, ranges: [[item.kind, offset, length]] })
      offset += length
      bytes += length
    }
    assertSame(item.bytes, bytes, 'bytes of a blank item')
  }
  return regions
}

const RUN_OF: Record<ExtentKind, RunKind> = { data: RUN.stored, hole: RUN.hole, unused: RUN.unused }

/** From the definition: block by block. */
function naiveRegions(extents: readonly Extent[], sizeBytes: number, regionBytes: number): PlannedRegion[] {
  const blocks = new Array<RunKind>(Math.ceil(sizeBytes / BLOCK)).fill(RUN.stored)
  for (let i = 0; i < extents.length; ) {
    const { kind, offset } = extents[i]!
    let end = offset
    for (; extents[i]?.kind === kind; i++) end += extents[i]!.length
    if (kind === 'data') continue
    const from = Math.ceil(offset / BLOCK)
    const to = end === sizeBytes ? blocks.length : Math.floor(end / BLOCK)
    if (Math.min(to * BLOCK, sizeBytes) - from * BLOCK >= HOLE) blocks.fill(RUN_OF[kind], from, to)
  }
  const regions: PlannedRegion[] = []
  for (let offset = 0; offset < sizeBytes; offset += regionBytes) {
    const end = Math.min(sizeBytes, offset + regionBytes)
    const ranges: [RunKind, number, number][] = []
    for (let at = offset; at < end; at += BLOCK) {
      const kind = blocks[at / BLOCK]!
      const length = Math.min(BLOCK, end - at)
      const last = ranges.at(-1)
      if (last?.[0] === kind) last[2] += length
      else ranges.push([kind, at, length])
    }
    regions.push({ offset, length: end - offset, ranges: withoutRemnants(ranges) })
  }
  return regions
}

/** Holes that a region border made too short are read. */
function withoutRemnants(ranges: readonly [RunKind, number, number][]): [RunKind, number, number][] {
  const kept: [RunKind, number, number][] = []
  for (const [kind, offset, length] of ranges) {
    const isRead = kind === RUN.hole && length < HOLE && ranges.length > 1
    const last = kept.at(-1)
    if (last?.[0] === RUN.stored && isRead) last[2] += length
    else if (last?.[0] === kind) last[2] += length
    else kept.push([isRead ? RUN.stored : kind, offset, length])
  }
  return kept
}

function extentsOf(lengths: readonly (readonly [ExtentKind, number])[]): {
  extents: Extent[]
  sizeBytes: number
} {
  let offset = 0
  const extents = lengths.map(([kind, length]) => {
    offset += length
    return { kind, offset: offset - length, length }
  })
  return { extents, sizeBytes: offset }
}

const extentLength = fc.oneof(
  fc.integer({ min: 1, max: 10_000 }),
  fc.integer({ min: 1, max: 60 }).map((n) => n * BLOCK),
  fc.integer({ min: HOLE - 2, max: HOLE + 2 * BLOCK }),
  fc.integer({ min: 1, max: 400_000 }),
)
const extentList = fc.array(fc.tuple(fc.constantFrom<ExtentKind>('data', 'hole', 'unused'), extentLength), {
  maxLength: 12,
})

test('planRegions plans what block by block would be planned', async (t) => {
  await fc.assert(
    fc.asyncProperty(extentList, fc.constantFrom(HOLE, HOLE + BLOCK, 4 * HOLE), async (list, regionBytes) => {
      const { extents, sizeBytes } = extentsOf(list)
      const items = await collected(planRegions(listed(extents), sizeBytes, regionBytes))
      const expected = naiveRegions(extents, sizeBytes, regionBytes)
      assertSame(regionsOf(items, sizeBytes, regionBytes), expected, `regions of ${sizeBytes} bytes`)
      const blank = items.filter((item) => item.type === 'blank').reduce((sum, item) => sum + item.regions, 0)
      const wholeBlank = expected.filter(({ ranges }) => ranges.length === 1 && ranges[0]![0] !== RUN.stored)
      assertSame(blank, wholeBlank.length, 'regions that need no task')
    }),
    { numRuns: 1500 },
  )
  t.same(await collected(planRegions(listed([]), 0, HOLE)), [], 'an empty image has no regions')
})

test('planRegions plans the largest image at once', async (t) => {
  const MAX = Number.MAX_SAFE_INTEGER
  const started = performance.now()
  for (const regionBytes of [HOLE, HOLE + BLOCK, 64 * 1024 * 1024, 256 * 1024 * 1024]) {
    const middle = 2 ** 52 + 12_345
    const { extents } = extentsOf([
      ['hole', middle],
      ['data', 100_000],
      ['unused', 2 ** 51],
      ['hole', MAX - 2 ** 51 - 100_000 - middle],
    ])
    const items = await collected(planRegions(listed(extents), MAX, regionBytes))
    t.ok(items.length <= 9, `${items.length} items`)
    let [bytes, region] = [0, 0]
    for (const item of items) {
      if (item.type === 'task') t.equal(item.task.region, region)
      bytes += item.type === 'task' ? item.task.length : item.bytes
      region += item.type === 'task' ? 1 : item.regions
    }
    t.equal(bytes, MAX)
    t.equal(BigInt(region), (BigInt(MAX) + BigInt(regionBytes) - 1n) / BigInt(regionBytes))
  }
  t.ok(performance.now() - started < 1000)
})

test('planRegions refuses extents that do not cover the image', async (t) => {
  const data = (offset: number, length: number): Extent => ({ kind: 'data', offset, length })
  const wrong: Record<string, Extent[]> = {
    'none at all': [],
    'a gap at the start': [data(1, 99_999)],
    'a gap in the middle': [data(0, 10), data(11, 99_989)],
    'an overlap': [data(0, 10), data(9, 99_991)],
    'twice the same': [data(0, 100_000), data(0, 100_000)],
    'an end too early': [data(0, 99_999)],
    'an end too late': [data(0, 100_001)],
    'an empty extent': [data(0, 0), data(0, 100_000)],
    'a negative length': [data(0, -1)],
    'no length': [data(0, Number.NaN)],
    'no offset': [data(Number.NaN, 100_000)],
    'endless length': [data(0, Number.POSITIVE_INFINITY)],
    'an unknown kind': [{ kind: 'empty' as ExtentKind, offset: 0, length: 100_000 }],
    'a kind of every object': [{ kind: 'toString' as ExtentKind, offset: 0, length: 100_000 }],
  }
  for (const [what, extents] of Object.entries(wrong)) {
    const error: unknown = await collected(planRegions(listed(extents), 100_000, HOLE)).catch(
      (e: unknown) => e,
    )
    t.ok(PlatterError.is(error, 'ERR_INVALID_ARGUMENT'), what)
  }
})

// --- trees -----------------------------------------------------------------------------------------------------

/** Regions of a tree, in order: leaves with numbers, or blank stretches. */
type TreeItem = { readonly leaf: number } | { readonly kind: 1 | 2; readonly regions: number }

/** Nodes by their ids, as a repository would keep them. */
class NodeShelf {
  readonly nodes = new Map<string, Uint8Array>()
  reads = 0

  readonly sink = (encoded: Uint8Array): Uint8Array => {
    const id = createHash('sha256').update(encoded).digest()
    this.nodes.set(id.toString('hex'), encoded.slice())
    return new Uint8Array(id)
  }

  get reader(): BlobReader {
    const read = async (id: Uint8Array): Promise<Uint8Array> => {
      this.reads++
      return this.nodes.get(Buffer.from(id).toString('hex'))!
    }
    return { read } as unknown as BlobReader
  }
}

function leafNode(number: number, bytes: number): Uint8Array {
  const ids = new Uint8Array(32)
  new DataView(ids.buffer).setUint32(0, number)
  return encodeNode({ level: 0, kinds: Uint8Array.of(0), spans: Uint32Array.of(bytes), ids })
}

function regionsIn(items: readonly TreeItem[]): number {
  return items.reduce((sum, item) => sum + ('leaf' in item ? 1 : item.regions), 0)
}

function builtTree(
  items: readonly TreeItem[],
  lastBytes = HOLE,
  shelf = new NodeShelf(),
): { tree: VolumeTree; shelf: NodeShelf } {
  const builder = new TreeBuilder(shelf.sink)
  const regions = regionsIn(items)
  let region = 0
  const leaves = new Map<string, Uint8Array>()
  for (const item of items) {
    if ('leaf' in item) {
      region++
      const bytes = region === regions ? lastBytes : HOLE
      const key = `${item.leaf} ${bytes}`
      const id = leaves.get(key) ?? shelf.sink(leafNode(item.leaf, bytes))
      leaves.set(key, id)
      builder.leaf(id)
    } else {
      region += item.regions
      builder.blank(item.kind, item.regions)
    }
  }
  const root = builder.finish((kind) =>
    encodeNode({
      level: 0,
      kinds: Uint8Array.of(kind),
      spans: Uint32Array.of(lastBytes),
      ids: new Uint8Array(0),
    }),
  )
  const sizeBytes = regions === 0 ? 0 : (regions - 1) * HOLE + lastBytes
  const volume = { sizeBytes, root: root && (Buffer.from(root).toString('hex') as NodeId) }
  return { tree: new VolumeTree(shelf.reader, volume, HOLE), shelf }
}

/** What a walk gives, with neighbouring blank stretches of a kind as one, each with its first region. */
async function walked(
  tree: VolumeTree,
  from?: number,
  to?: number,
): Promise<[region: number, what: string][]> {
  const found: [number, string, number][] = []
  for await (const item of tree.walk(undefined, from, to)) {
    if (item.kind === RUN.stored) {
      const { ids, kinds } = item.leaf
      const isBlank = kinds[0] !== RUN.stored
      const number = isBlank ? 0 : new DataView(ids.buffer, ids.byteOffset).getUint32(0)
      found.push([item.region, isBlank ? `blank leaf ${kinds[0]}` : `leaf ${number}`, 1])
      continue
    }
    const last = found.at(-1)
    const what = `blank ${item.kind}`
    if (last?.[1] === what && last[0] + last[2] === item.region) last[2] += item.regions
    else found.push([item.region, what, item.regions])
  }
  return found.map(([region, what, regions]) => [region, `${what} x${regions}`])
}

function expectedWalk(items: readonly TreeItem[]): [region: number, what: string][] {
  const found: [number, string, number][] = []
  let region = 0
  for (const item of items) {
    const regions = 'leaf' in item ? 1 : item.regions
    const what = 'leaf' in item ? `leaf ${item.leaf}` : `blank ${item.kind}`
    const last = found.at(-1)
    if (!('leaf' in item) && last?.[1] === what) last[2] += regions
    else found.push([region, what, regions])
    region += regions
  }
  return found.map(([first, what, regions]) => [first, `${what} x${regions}`])
}

const blankCount = fc.oneof(
  fc.integer({ min: 1, max: 5 }),
  fc.integer({ min: 1020, max: 1030 }),
  fc.integer({ min: 1, max: 5000 }),
  fc.integer({ min: 1024 * 1024 - 3, max: 1024 * 1024 + 3 }),
  fc.integer({ min: 1, max: 3000 }).map((n) => n * 1024),
  fc.integer({ min: 1, max: 2 ** 35 }),
)
const treeItem: fc.Arbitrary<readonly TreeItem[]> = fc.oneof(
  fc.integer({ min: 1, max: 6 }).map((n) => Array.from({ length: n }, (_, i) => ({ leaf: i }))),
  fc.record({ kind: fc.constantFrom(1 as const, 2 as const), regions: blankCount }).map((blank) => [blank]),
)

test('a volume tree gives back its regions', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(treeItem, { maxLength: 7 }).map((lists) => lists.flat()),
      fc.constantFrom(1, 512, 4095, 40_000, HOLE),
      fc.array(fc.nat(), { maxLength: 3 }),
      async (items, lastBytes, places) => {
        const { tree, shelf } = builtTree(items, lastBytes)
        const [only] = items
        const expected = expectedWalk(items)
        if (tree.regions === 1 && only !== undefined && !('leaf' in only))
          assertSame(await walked(tree), [[0, `blank leaf ${only.kind} x1`]], 'a blank image of one region')
        else assertSame(await walked(tree), expected, 'a walk')
        assertSame([tree.regions, tree.level], [regionsIn(items), rootLevel(regionsIn(items))], 'the shape')
        // A root of n regions has no more levels than it takes, and a single region is found along one path.
        if (tree.regions < 2) return
        for (const place of places) {
          const region = place % tree.regions
          shelf.reads = 0
          const [found] = await collected(tree.walk(undefined, region, region + 1))
          if (found === undefined || found.region > region || found.region + found.regions <= region)
            throw new Error(`region ${region} is not found`)
          if (shelf.reads > tree.level + 1) throw new Error(`${shelf.reads} reads for one region`)
        }
      },
    ),
    { numRuns: 400 },
  )
  t.pass()
})

test('a volume tree at the borders of its nodes', async (t) => {
  const leaves = (n: number): TreeItem[] => Array.from({ length: n }, (_, leaf) => ({ leaf }))
  for (const n of [0, 1, 2, 1023, 1024, 1025, 2047, 2048, 2049]) {
    const { tree } = builtTree(leaves(n), 1000)
    t.equal((await walked(tree)).length, n, `${n} leaves`)
    assertSame(await walked(tree), expectedWalk(leaves(n)), `${n} leaves`)
  }
  const MIB = 1024 * 1024
  for (const n of [
    1024,
    MIB - 1,
    MIB,
    MIB + 1,
    MIB + 1023,
    MIB + 1024,
    MIB + 1025,
    1024 * MIB,
    1024 * MIB + 1,
  ]) {
    const shapes: Record<string, TreeItem[]> = {
      'all blank': [{ kind: 1, regions: n }],
      'a leaf at the end': [{ kind: 1, regions: n - 1 }, { leaf: 7 }],
      'a leaf at the start': [{ leaf: 7 }, { kind: 2, regions: n - 1 }],
      'two halves': [
        { kind: 1, regions: n / 2 - (n % 2) / 2 },
        { kind: 2, regions: n / 2 + (n % 2) / 2 },
      ],
    }
    for (const [what, items] of Object.entries(shapes)) {
      const { tree, shelf } = builtTree(items)
      assertSame(await walked(tree), expectedWalk(items), `${n} regions, ${what}`)
      t.ok(shelf.nodes.size <= 10, `${n} regions, ${what}: ${shelf.nodes.size} nodes`)
    }
  }
  // All nodes of three levels, each of them full: a million leaves of four contents.
  const many = Array.from({ length: MIB + 1 }, (_, i) => ({ leaf: i & 3 }))
  const { tree } = builtTree(many)
  t.equal(tree.level, 3)
  const end = await walked(tree, MIB - 1500, MIB + 1)
  assertSame(end, expectedWalk(many).slice(MIB - 1500), 'the last leaves of a million')
})

test('a volume tree does not depend on how blank stretches come', async (t) => {
  fc.assert(
    fc.property(
      fc.array(treeItem, { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 4 }),
      (lists, cuts) => {
        const items = lists.flat()
        const split = items.flatMap((item): TreeItem[] => {
          if ('leaf' in item) return [item]
          const places = [0, ...cuts.map((cut) => cut % item.regions), item.regions].sort((a, b) => a - b)
          return places
            .slice(1)
            .map((place, i) => ({ kind: item.kind, regions: place - places[i]! }))
            .filter(({ regions }) => regions > 0)
        })
        assertSame(builtTree(split).tree.root, builtTree(items).tree.root, 'the root')
      },
    ),
    { numRuns: 300 },
  )
  t.pass()
})

// --- claims ----------------------------------------------------------------------------------------------------

/** Ids that collide in what a table looks at: first words that stand for states, and few second words. */
const trickyId = fc
  .tuple(
    fc.constantFrom(0, 1, 2, 3, 0x0100_0000, 0xffff_ffff),
    fc.constantFrom(0, 1, 1022, 1023, -1),
    fc.nat(40),
  )
  .map(([first, second, rest]) => {
    const id = new Uint8Array(32)
    const view = new DataView(id.buffer)
    view.setUint32(0, first, true)
    view.setInt32(4, second, true)
    // First words 0, 1 and 2 are one and the same to a table, so here they never differ in them alone.
    view.setUint32(8 + 4 * (rest % 6), 1 + rest * 8 + Math.min(first, 7), true)
    return id
  })

test('ClaimTable is a set', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(trickyId, fc.nat(20)), { maxLength: 300 }), (steps) => {
      const table = new ClaimTable()
      table.add(ClaimTable.allocate(1))
      const other = new ClaimTable()
      const known = new Set<string>()
      for (const [id, grow] of steps) {
        if (grow === 0) table.add(ClaimTable.allocate(1))
        const hex = Buffer.from(id).toString('hex')
        const isNew = table.claim(id)
        if (isNew === known.has(hex)) throw new Error(`${hex} is ${isNew ? '' : 'not '}new`)
        known.add(hex)
        if (table.claim(id)) throw new Error('claimed twice')
      }
      if (table.size !== known.size) throw new Error(`${table.size} ids instead of ${known.size}`)
      if (other.free !== 0 || other.size !== 0) throw new Error('a table without memory holds nothing')
    }),
    { numRuns: 150 },
  )
  t.pass()
})

test('ClaimTable fills up to the last slot, and says so then', async (t) => {
  const memory = ClaimTable.allocate(1)
  const table = new ClaimTable()
  table.add(memory)
  const slots = table.free
  t.equal(slots, 1024)
  const id = (i: number): Uint8Array => new Uint8Array(createHash('sha256').update(`id ${i}`).digest())
  for (let i = 0; i < slots; i++) if (!table.claim(id(i))) throw new Error(`id ${i} is not new`)
  t.equal(table.free, 0)
  for (let i = 0; i < slots; i++) if (table.claim(id(i))) throw new Error(`id ${i} is new again`)
  t.throws(
    () => table.claim(id(slots)),
    { code: 'ERR_INTERNAL' },
    'a full table is no reason to lose a chunk',
  )
  table.add(ClaimTable.allocate(3000))
  for (let i = 0; i < slots + 3000; i++)
    if (table.claim(id(i)) !== i >= slots) throw new Error(`id ${i} after growing`)
  t.equal(table.size, slots + 3000)

  const second = new ClaimTable()
  second.add(memory)
  t.equal(second.claim(id(3)), false, 'another view of the same memory')
  const claims = new Claims(0, 100)
  for (let i = 0; i < 20_000; i++) {
    if (!claims.table.claim(id(i))) throw new Error(`id ${i} is not new`)
    // As often as a region can be done.
    if (i % 100 === 0) claims.grow()
  }
  t.ok(claims.segments.length > 2 && claims.segments.length < 12, `${claims.segments.length} segments`)
  t.equal(claims.table.size, 20_000)
})

test('four threads claim every id once', async (t) => {
  // In a process of its own: a test runner's hooks make starting a thread take seconds.
  const script = fileURLToPath(new URL('./claim-race.js', import.meta.url))
  const { NODE_OPTIONS: _, ...env } = process.env
  const { stdout } = await promisify(execFile)(process.execPath, [script], { env })
  t.match(JSON.parse(stdout), { rounds: 4, ids: 20_000, lost: 0, twice: 0, size: 20_000 })
})

// --- index -----------------------------------------------------------------------------------------------------

interface PackSpec {
  readonly pack: number
  readonly blobs: readonly {
    readonly id: number
    readonly raw: number
    readonly codec: CodecNumber
    readonly type: BlobType
  }[]
}

const blobSpec = fc.record({
  id: fc.nat(60),
  raw: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.constantFrom(1, 65_535, 65_536, 2 ** 24 - 1)),
  codec: fc.constantFrom<CodecNumber>(0, 1, 2),
  type: fc.constantFrom<BlobType>(0, 1),
})
const packSpec: fc.Arbitrary<PackSpec> = fc.record({
  pack: fc.nat(1 << 30),
  blobs: fc.array(blobSpec, { maxLength: 30 }),
})

function blobId(number: number): Uint8Array {
  const id = new Uint8Array(createHash('sha256').update(`blob ${number}`).digest())
  // Many in one group, and ids that differ in their last byte alone.
  if (number % 3 === 0) id.fill(0, 0, 4)
  if (number % 5 === 0) id.fill(0xff, 0, 31)
  return id
}

function indexedPack({ pack, blobs }: PackSpec): IndexedPack {
  let offset = PACK_HEADER_BYTES
  const entries: BlobEntry[] = blobs.map(({ id, raw, codec, type }) => {
    const storedBytes = codec === CODEC.none ? raw : Math.ceil(raw / 2)
    offset += storedBytes
    return { id: blobId(id), type, codec, offset: offset - storedBytes, storedBytes, rawBytes: raw }
  })
  const id = packIdFrom(new Uint8Array(createHash('sha256').update(`pack ${pack}`).digest()))
  return { id, salt: noise(32, pack), fileBytes: offset + packEndBytes(entries.length, SUITE.none), entries }
}

function placeKey(entry: Omit<BlobEntry, 'id'>, pack: string): string {
  const { type, codec, offset, storedBytes, rawBytes } = entry
  return [pack, type, codec, offset, storedBytes, rawBytes].join(' ')
}

function fits(specs: readonly PackSpec[]): boolean {
  return specs.every(({ blobs }) => blobs.reduce((sum, { raw }) => sum + raw, 0) < 200 * 1024 * 1024)
}

test('index segments and the index made of them name every blob', async (t) => {
  const session = parseSessionId('0'.repeat(32))
  const lists = fc.array(fc.array(packSpec, { maxLength: 4 }).filter(fits), { maxLength: 4 })
  const check = (segmentSpecs: readonly (readonly PackSpec[])[]): void => {
    const expected = new Map<string, string[]>()
    const segments = segmentSpecs.map((specs, i) => {
      const packs = specs.map((spec) => indexedPack(spec))
      const name = indexSegmentName(session, i)
      const segment = decodeIndexSegment(
        name,
        joined(encodeIndexSegment(name, packs, plainRecords)),
        plainRecords,
      )
      assertSame(
        segment.packs,
        packs.map(({ id, salt, fileBytes, entries }) => ({
          id,
          salt,
          fileBytes,
          entryCount: entries.length,
        })),
        'packs of a segment',
      )
      const all = packs.flatMap(({ id, entries }) => entries.map((entry) => ({ entry, id })))
      for (const { entry, id } of all) {
        const key = Buffer.from(entry.id).toString('hex')
        expected.set(key, [...(expected.get(key) ?? []), placeKey(entry, id)])
      }
      const rows = Array.from({ length: segment.entryCount }, (_, row) => {
        const entry = segment.entry(row)
        return `${Buffer.from(entry.id).toString('hex')} ${placeKey(entry, segment.packs[entry.pack]!.id)}`
      })
      const wanted = all.map(
        ({ entry, id }) => `${Buffer.from(entry.id).toString('hex')} ${placeKey(entry, id)}`,
      )
      assertSame([...rows].sort(), wanted.sort(), 'entries of a segment')
      const ids = rows.map((row) => row.slice(0, 64))
      assertSame(ids, [...ids].sort(), 'ids ascend')
      return segment
    })
    const index = chunkIndexOf(segments)
    assertSame(index.size, [...expected.values()].flat().length, 'the size')
    for (let number = 0; number <= 60; number++) {
      const id = blobId(number)
      const found: string[] = []
      // The id is handed in as a view, as everywhere.
      const view = joined([noise(3, 1), id]).subarray(3)
      for (let entry = index.find(view); entry >= 0; entry = index.findNext(view, entry)) {
        if (!sameBytes(index.id(entry), id)) throw new Error('an entry of another id')
        const place = index.location(entry)
        found.push(placeKey(place, index.packs[place.pack]!.id))
      }
      const wanted = expected.get(Buffer.from(id).toString('hex')) ?? []
      assertSame(found.sort(), wanted.sort(), `places of blob ${number}`)
      if (index.find(noise(32, number)) !== -1) throw new Error('an id is found that was never there')
    }
  }
  fc.assert(
    fc.property(lists, (specs) => check(specs)),
    { numRuns: 150 },
  )
  check([])
  check([[], [{ pack: 1, blobs: [] }]])
  t.pass()
})

test('an index of many blobs finds each', async (t) => {
  const session = parseSessionId('0'.repeat(32))
  const packs = Array.from({ length: 20 }, (_, pack): IndexedPack => {
    const entries = Array.from({ length: 1000 }, (_, i): BlobEntry => {
      const id = new Uint8Array(createHash('sha256').update(`${pack} ${i}`).digest())
      const place = { offset: PACK_HEADER_BYTES + i * 10, storedBytes: 10, rawBytes: 10 }
      return { id, type: BLOB_TYPE.chunk, codec: CODEC.none, ...place }
    })
    const fileBytes = 20_000 + packEndBytes(1000, SUITE.none)
    return { id: packIdFrom(noise(32, pack)), salt: noise(32, pack + 100), fileBytes, entries }
  })
  const segments = [0, 1].map((i) => {
    const name = indexSegmentName(session, i)
    return decodeIndexSegment(
      name,
      joined(encodeIndexSegment(name, packs.slice(i * 10, i * 10 + 10), plainRecords)),
      plainRecords,
    )
  })
  const index = chunkIndexOf(segments)
  for (const { id, entries } of packs) {
    for (const blob of entries) {
      const entry = index.find(blob.id)
      const place = index.location(entry)
      const isRight = index.packs[place.pack]!.id === id && place.offset === blob.offset
      if (!isRight || index.findNext(blob.id, entry) !== -1) throw new Error('a blob is found elsewhere')
    }
  }
  t.equal(index.size, 20_000)
})

// --- encodings -------------------------------------------------------------------------------------------------

test('packs give back what was put into them', async (t) => {
  const blobs = fc.array(
    fc.tuple(
      fc.nat(60),
      fc.integer({ min: 1, max: 5000 }),
      fc.constantFrom<CodecNumber>(0, 1, 2),
      fc.constantFrom<BlobType>(0, 1),
    ),
    {
      minLength: 1,
      maxLength: 30,
    },
  )
  fc.assert(
    fc.property(blobs, fc.nat(1000), (list, slack) => {
      const stored = list.map(([, length], i) => noise(length, i + 1))
      const total = stored.reduce((sum, { length }) => sum + length, 0)
      const memory = new ArrayBuffer(
        PACK_HEADER_BYTES + total + packEndBytes(list.length, SUITE.none) + slack,
      )
      new Uint8Array(memory).fill(0xee)
      const assembler = new PackAssembler(memory, packCipher(undefined, noise(32, 9)))
      list.forEach(([id, length, codec, type], i) => {
        if (!assembler.fits(length)) throw new Error('it would fit')
        assembler.append(blobId(id), type, codec, stored[i]!, codec === CODEC.none ? length : length + 7)
      })
      if (assembler.blobBytes !== total) throw new Error('wrong sum')
      if (assembler.fits(slack + 1)) throw new Error('it would not fit')
      const { id, fileBytes } = assembler.seal()
      const file = new Uint8Array(memory, 0, fileBytes)
      if (fileBytes !== PACK_HEADER_BYTES + total + packEndBytes(list.length, SUITE.none))
        throw new Error('wrong length')
      const name = `packs/${id.slice(0, 2)}/${id}`
      const header = file.slice(0, PACK_HEADER_BYTES)
      const trailer = readPackTrailer(
        header,
        file.slice(fileBytes - PACK_TRAILER_BYTES),
        fileBytes,
        name,
        undefined,
      )
      const entries = readPackDirectory(
        header,
        file.slice(trailer.directoryOffset),
        fileBytes,
        name,
        undefined,
      )
      entries.forEach((entry, i) => {
        const [number, length, codec, type] = list[i]!
        const bytes = file.subarray(entry.offset, entry.offset + entry.storedBytes)
        const wanted = [type, codec, codec === CODEC.none ? length : length + 7]
        assertSame([entry.type, entry.codec, entry.rawBytes], wanted, 'an entry')
        if (!sameBytes(bytes, stored[i]!) || !sameBytes(entry.id, blobId(number)))
          throw new Error('another blob')
      })
      assertSame(entries.length, list.length, 'entries')
    }),
    { numRuns: 150 },
  )
  t.pass()
})

test('nodes, snapshots and configs come back as they were', async (t) => {
  const run = fc.tuple(fc.constantFrom<RunKind>(0, 1, 2), fc.integer({ min: 1, max: 16 }))
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 50 }), fc.nat(3), (runs, level) => {
      const kinds = Uint8Array.from(runs, ([kind]) => kind)
      const spans = Uint32Array.from(runs, ([kind, n]) =>
        level === 0 ? n * BLOCK : kind === RUN.stored ? 1 : n,
      )
      const ids = noise(32 * runs.filter(([kind]) => kind === RUN.stored).length, 4)
      const covered = spans.reduce((a, b) => a + b, 0)
      const digest = level === 0 && runs.length % 2 === 0 ? noise(32, runs.length) : undefined
      const written = { level, kinds, spans, ids, ...(digest === undefined ? {} : { digest }) }
      const node = decodeNode(encodeNode(written), level, covered)
      assertSame([node.level, [...node.kinds], [...node.spans]], [level, [...kinds], [...spans]], 'a node')
      assertSame(node.digest, digest, 'the digest of a region')
      if (!sameBytes(node.ids, ids)) throw new Error('other ids')
    }),
    { numRuns: 300 },
  )
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
  const count = fc.maxSafeInteger().map((n) => Math.abs(n))
  const snapshot = fc.record({
    name: text,
    host: text,
    tags: fc.array(text, { maxLength: 64 }),
    parent: fc.boolean(),
    size: count,
    root: fc.boolean(),
    bad: fc.array(fc.tuple(count, count), { maxLength: 5 }),
    numbers: fc.tuple(count, count, count, count, count, count, count),
    seconds: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((n) => n + 0),
  })
  fc.assert(
    fc.property(snapshot, ({ name, host, tags, parent, size, root, bad, numbers, seconds }) => {
      const [bytesTotal, bytesRead, bytesHole, bytesNew, bytesStored, chunksNew, chunksKnown] = numbers
      const original: Snapshot = {
        id: parseSessionId('ab'.repeat(16)),
        name,
        host,
        time: '2026-11-22T15:31:07.250+01:00',
        tags,
        parent: parent ? parseSessionId('cd'.repeat(16)) : undefined,
        program: 'platter 0.1.0',
        volumes: [
          {
            sizeBytes: size,
            root: root ? ('ef'.repeat(32) as NodeId) : undefined,
            imageDigest: '12'.repeat(32),
            source: { kind: 'file', label: name, logicalSectorBytes: 512, physicalSectorBytes: 4096 },
            badRanges: bad.map(([offset, length]) => ({ offset, length })),
          },
        ],
        checkpoint: false,
        stats: { bytesTotal, bytesRead, bytesHole, bytesNew, bytesStored, chunksNew, chunksKnown, seconds },
      }
      assertSame(
        decodeSnapshot(original.id, joined(encodeSnapshot(original, plainRecords)), plainRecords),
        original,
        'a snapshot',
      )
    }),
    { numRuns: 200 },
  )
  const config: RepositoryConfig = {
    id: parseRepositoryId('0123456789abcdef'.repeat(2)),
    crypto: 'none',
    chunker: { kind: 'fastcdc', minBytes: 2000, averageBytes: 5000, maxBytes: 2 ** 24 - 1 },
    regionBytes: 256 * 1024 * 1024,
    packBytes: 128 * 1024 * 1024,
    secret: noise(32, 3),
  }
  const { secret, ...rest } = decodeConfig(joined(encodeConfig(config, systemRandom))) as RepositoryConfig
  const { secret: wanted, ...others } = config
  t.same(rest, others)
  t.ok(sameBytes(secret, wanted))
})

// --- the format, frozen ----------------------------------------------------------------------------------------

/** Data, a hole, the same data again, words, an end off every border. */
function goldenImage(): Uint8Array {
  const image = new Uint8Array(400_001)
  image.set(noise(90_000, 1), 0)
  image.set(noise(90_000, 1), 196_608)
  image.set(words(400_001 - 300_000), 300_000)
  return image
}

const GOLDEN_CHUNKERS = {
  aligned: { kind: 'aligned', minBytes: 4096, averageBytes: 16384, maxBytes: 65536 },
  fastcdc: { kind: 'fastcdc', minBytes: 4096, averageBytes: 16384, maxBytes: 65536 },
  fixed: { kind: 'fixed', minBytes: 10_000, averageBytes: 10_000, maxBytes: 10_000 },
} as const

/** A config, byte by byte. */
const GOLDEN_CONFIG =
  '504c545201010000d80000000000000089a776657273696f6e01a26964c410ae967bb2f6f6cc9221c59445ad2eace7a6' +
  '63727970746fa46e6f6e65a6736563726574c420cd77868aac1587f5aca2629aba865abab5ca5a730329101aa9efd773' +
  '3b305256a76368756e6b657284a46b696e64a7616c69676e6564a86d696e4279746573cd1000ac617665726167654279' +
  '746573cd4000a86d61784279746573ce00010000ab726567696f6e4279746573ce00020000a97061636b4279746573ce' +
  '00400000b07265717569726564466561747572657390b06f7074696f6e616c4665617475726573900f68bcb79232fe59' +
  '0db0a30165f9a7137cff35d0aeee5a0bc822738d6ff45dae'

/** SHA-256 of each object of a repository. */
const GOLDEN_OBJECTS = {
  none: {
    config: 'efe5dc89d3c4e464b34d725723226213d09a36719d275824e019ff0399e1c56c',
    'sessions/372283b0f129fb7f537cfb94c138a448/000000':
      'e65808668d5891bf7e0ec73980979ebdaca05ab7e71043c09e4df52c701d4303',
    'packs/85/85d5903f5b2a30a1d282ace37244b974dc83f79d167d3acdc8a4652b683cf3c5':
      '461653b2256e5997d2eea2464c614a3edc8291fe5721078557a085a0a0e976df',
    'packs/ce/ce06c3f850023bc9dbeed1fccfef1dd12587df4abcaeb0c11cbfda9d28f862f4':
      '45f02fa96bcea10d96591e569a230ca5d729a46eaa264357c5ae9a06c328da07',
    'index/372283b0f129fb7f537cfb94c138a448/000000':
      '66f37a36df97bb7d60e769cf864de953d50f98de6d0c3e558a3cb1bc0b6258e5',
    'snapshots/372283b0f129fb7f537cfb94c138a448':
      '8a868095209dbd0862e1e9adf5aad7064782ebeb395fcdff46dbefa79c79d1a8',
  },
  lz4: {
    config: 'efe5dc89d3c4e464b34d725723226213d09a36719d275824e019ff0399e1c56c',
    'sessions/372283b0f129fb7f537cfb94c138a448/000000':
      'e65808668d5891bf7e0ec73980979ebdaca05ab7e71043c09e4df52c701d4303',
    'packs/e6/e6f5c3c2ddc9f27d1e50e3115f9f123c1651fe23e6db7615c83683419358dfb3':
      '157af36b57507fcdb5d7e4381291768d7f100ed116acfe425351f4c8d9b8a5ee',
    'packs/ce/ce06c3f850023bc9dbeed1fccfef1dd12587df4abcaeb0c11cbfda9d28f862f4':
      '45f02fa96bcea10d96591e569a230ca5d729a46eaa264357c5ae9a06c328da07',
    'index/372283b0f129fb7f537cfb94c138a448/000000':
      '158ad25ba86870ad8249e57086a5fb260208b539e6e910a066cb3f365597170b',
    'snapshots/372283b0f129fb7f537cfb94c138a448':
      '2491a0239fd357925aa99cc7347bb458e94b7675b86c0e5334d6272f687e9426',
  },
} as const

/** Root of the volume tree, chunks new and known. */
const GOLDEN_ROOTS = {
  aligned: ['a6d7f79340a159fb32e87c2bfddf1b47f4f0c1bb271ffa601b9fc0cb5b37ad21', 20, 7],
  fastcdc: ['f1eae55dc496aae6fa059bea34bd2c9cb0dc97216896518e0ea3b926a657cd81', 13, 3],
  fixed: ['99455c883e89a314c4527e62bdf40811db801e63b626b5d2fc67476c98a6d87f', 27, 9],
} as const

const GOLDEN_DIGEST = '70bca243568b1a19a487dee6d07953de79241aba39aef77413046992ed749af4'

const GOLDEN_NODE =
  '504c544e0100000005000000020000000001000202000000001000000000010000200000001000000100000000010203' +
  '0405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30313233' +
  '3435363738393a3b3c3d3e3fdddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd'

/** Writes a repository from fixed randomness, without threads, and gives its store. */
async function goldenRepository(
  kind: keyof typeof GOLDEN_CHUNKERS,
  codec: 'none' | 'lz4',
): Promise<{ store: Store; snapshot: Snapshot }> {
  const store = new MemoryStore()
  const random: RandomSource = seededRandom(1)
  const settings: InitOptions = {
    crypto: 'none',
    random,
    regionBytes: 128 * 1024,
    packBytes: 4 * 1024 * 1024,
    chunker: GOLDEN_CHUNKERS[kind],
  }
  await Repository.init(store, settings)
  const now = (): Date => new Date(Date.UTC(2026, 10, 22, 14, 31, 7, 250))
  await using repo = await Repository.open(store, { codec, random, now })
  const source = new MemorySource(goldenImage(), { label: 'golden.raw' })
  const snapshot = await repo.backup(source, { name: 'golden', host: 'host', tags: ['a', 'b'], workers: 0 })
  return { store, snapshot }
}

/** SHA-256 of each object by its kind; a snapshot without what depends on the day, the zone and the machine. */
async function fingerprints(store: Store, snapshot: Snapshot): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for await (const { name } of store.list('')) {
    if (!name.startsWith('snapshots/')) found[name] = sha256(await store.get(name))
  }
  const fixed: Snapshot = {
    ...snapshot,
    time: '2026-11-22T15:31:07.250+01:00',
    program: 'platter 0.0.0',
    stats: { ...snapshot.stats, seconds: 1.5 },
  }
  found[`snapshots/${snapshot.id}`] = sha256(joined(encodeSnapshot(fixed, plainRecords)))
  return found
}

test('the format is frozen: a repository written from fixed randomness', async (t) => {
  for (const [kind, codec] of [
    ['aligned', 'none'],
    ['aligned', 'lz4'],
  ] as const) {
    const { store, snapshot } = await goldenRepository(kind, codec)
    const found = await fingerprints(store, snapshot)
    t.same(found, GOLDEN_OBJECTS[codec], `${kind}, ${codec}`)
    const bytes = await store.get('config')
    t.equal(Buffer.from(bytes).toString('hex'), GOLDEN_CONFIG)
    const repo = await Repository.open(store)
    const image = await repo.openImage('latest')
    t.ok(sameBytes(await image.read(0, image.sizeBytes), goldenImage()))
  }
})

test('the format is frozen: cuts, ids and digests', async (t) => {
  for (const kind of ['aligned', 'fastcdc', 'fixed'] as const) {
    const { snapshot } = await goldenRepository(kind, 'none')
    const [volume] = snapshot.volumes
    const { chunksNew, chunksKnown } = snapshot.stats
    t.same([volume!.root, chunksNew, chunksKnown], GOLDEN_ROOTS[kind], kind)
    t.equal(volume!.imageDigest, GOLDEN_DIGEST, 'the digest of an image does not depend on its cuts')
  }
})

test('the format is frozen: nodes', async (t) => {
  const ids = Uint8Array.from({ length: 64 }, (_, i) => i)
  const leaf = {
    level: 0,
    kinds: Uint8Array.of(0, 1, 0, 2, 2),
    spans: Uint32Array.of(4096, 65536, 8192, 4096, 1),
    ids,
    digest: new Uint8Array(32).fill(0xdd),
  }
  t.equal(Buffer.from(encodeNode(leaf)).toString('hex'), GOLDEN_NODE)
})

test('what a golden repository holds is read, whoever wrote it', async (t) => {
  // The objects themselves would be long; that they are the frozen ones is checked above.
  const { store } = await goldenRepository('aligned', 'lz4')
  const repo = await Repository.open(store)
  const { findings, chunks } = await repo.check({ readData: true, workers: 0 })
  t.same(findings, [])
  t.ok(chunks > 5)
  t.match(await repo.stats(), { snapshots: 1, bytesImages: 400_001, chunks })
})
