// What a writer does with an image, from sections 11 to 14 of docs/format.md: holes, segments, chunks, leaves, tree.
import { createCipheriv } from 'node:crypto'
import { BLOCK, blockDigests, expand, type Keys, keyedHash, regionDigest, u32 } from './primitives.ts'
import type { Config } from './reader.ts'

/** What a source says about a range of an image. */
export interface Range {
  readonly offset: number
  readonly length: number
  readonly kind: 'data' | 'hole' | 'unused'
}

/** A run of a node; stored ones have an id. */
interface Run {
  readonly kind: 0 | 1 | 2
  readonly span: number
  readonly id?: Uint8Array
}

/** What an image comes to: its root, and every chunk and node by id. */
export interface CutImage {
  readonly root: Uint8Array | undefined
  readonly blobs: ReadonlyMap<
    string,
    { readonly id: Uint8Array; readonly type: 0 | 1; readonly bytes: Uint8Array }
  >
}

const MIN_HOLE = 64 * 1024
const FANOUT = 1024

export function cutImage(config: Config, keys: Keys, image: Uint8Array, ranges: readonly Range[]): CutImage {
  const blobs = new Map<string, { id: Uint8Array; type: 0 | 1; bytes: Uint8Array }>()
  const keep = (type: 0 | 1, bytes: Uint8Array): Uint8Array => {
    const id = keyedHash(type === 0 ? keys.chunk : keys.node, bytes)
    blobs.set(Buffer.from(id).toString('hex'), { id, type, bytes })
    return id
  }
  const { regionBytes } = config
  const regionCount = Math.ceil(image.length / regionBytes)
  if (regionCount === 0) return { root: undefined, blobs }
  const blank = blankRanges(ranges, image.length)
  let runs: Run[] = []
  for (let region = 0; region < regionCount; region++) {
    const start = region * regionBytes
    const end = Math.min(start + regionBytes, image.length)
    const leaf = regionRuns(image, start, end, blank).flatMap((run): Run[] => {
      if (run.kind !== 0) return [{ kind: run.kind, span: run.to - run.from }]
      const segment = image.subarray(run.from, run.to)
      return chunksOf(config, keys, segment).map((bytes) => ({
        kind: 0,
        span: bytes.length,
        id: keep(0, bytes),
      }))
    })
    const [only] = leaf
    const isBlank = leaf.length === 1 && only!.kind !== 0
    if (isBlank && regionCount > 1) runs.push({ kind: only!.kind, span: 1 })
    else
      runs.push({
        kind: 0,
        span: 1,
        id: keep(1, encoded(0, leaf, regionDigest(keys, image.subarray(start, end)))),
      })
  }
  for (let level = 1; runs.length > 1; level++) {
    const parents: Run[] = []
    for (let at = 0; at < runs.length; at += FANOUT) {
      const children = merged(runs.slice(at, at + FANOUT))
      const [only] = children
      const isBlank = children.length === 1 && only!.kind !== 0
      if (isBlank && runs.length > FANOUT) parents.push({ kind: only!.kind, span: 1 })
      else parents.push({ kind: 0, span: 1, id: keep(1, encoded(level, children)) })
    }
    runs = parents
  }
  return { root: runs[0]!.id, blobs }
}

/** Section 12, step 1: ranges that need no reading, on block borders. */
function blankRanges(ranges: readonly Range[], size: number): { from: number; to: number; kind: 1 | 2 }[] {
  const joined: { from: number; to: number; kind: Range['kind'] }[] = []
  for (const { offset, length, kind } of ranges) {
    const last = joined.at(-1)
    if (last?.kind === kind && last.to === offset) last.to += length
    else joined.push({ from: offset, to: offset + length, kind })
  }
  return joined.flatMap(({ from, to, kind }) => {
    if (kind === 'data') return []
    const start = Math.ceil(from / BLOCK) * BLOCK
    const end = to === size ? to : Math.floor(to / BLOCK) * BLOCK
    return end - start < MIN_HOLE ? [] : [{ from: start, to: end, kind: kind === 'hole' ? 1 : 2 }]
  })
}

/** Section 12, steps 2 and 3: blank runs and segments of a region. */
function regionRuns(
  image: Uint8Array,
  start: number,
  end: number,
  blank: readonly { from: number; to: number; kind: 1 | 2 }[],
): { kind: 0 | 1 | 2; from: number; to: number }[] {
  // One letter a block: d data, z zeros found by reading, h hole and u unused as reported.
  const count = Math.ceil((end - start) / BLOCK)
  const letters = Array.from({ length: count }, (_, i) => {
    const at = start + i * BLOCK
    const reported = blank.find(({ from, to }) => at >= from && at < to)
    if (reported !== undefined) return reported.kind === 1 ? 'h' : 'u'
    return image.subarray(at, Math.min(at + BLOCK, end)).every((byte) => byte === 0) ? 'z' : 'd'
  }).join('')
  const kinds = letters.replace(/[zh]+/g, (run, at: number) => {
    const bytes = Math.min(end, start + (at + run.length) * BLOCK) - (start + at * BLOCK)
    const isHole = bytes >= MIN_HOLE || run.length === count
    return (isHole ? 'h' : 'd').repeat(run.length)
  })
  return [...kinds.matchAll(/d+|h+|u+/g)].map(([run, ..._], i, all) => {
    const at = all[i]!.index
    return {
      kind: run[0] === 'd' ? 0 : run[0] === 'h' ? 1 : 2,
      from: start + at * BLOCK,
      to: Math.min(end, start + (at + run.length) * BLOCK),
    }
  })
}

/** Section 13. */
function chunksOf({ chunker }: Config, keys: Keys, segment: Uint8Array): Uint8Array[] {
  const { kind, minBytes: min, averageBytes: average, maxBytes: max } = chunker
  const endsAt =
    kind === 'aligned'
      ? alignedRule(keys, segment, min, average, max)
      : kind === 'fastcdc'
        ? gearRule(keys, segment, min, average, max)
        : (_: number, length: number) => length === max
  const chunks: Uint8Array[] = []
  let from = 0
  for (let to = 1; to <= segment.length; to++) {
    if (!endsAt(to, to - from) && to < segment.length) continue
    chunks.push(segment.subarray(from, to))
    from = to
  }
  return chunks
}

/** Whether a chunk of `length` bytes that ends at `to` of the segment ends there. */
type CutRule = (to: number, length: number) => boolean

function alignedRule(keys: Keys, segment: Uint8Array, min: number, average: number, max: number): CutRule {
  const tags = createCipheriv('aes-256-ecb', keys.tag, null)
    .setAutoPadding(false)
    .update(blockDigests(keys.block, segment))
  const threshold = Math.floor(2 ** 32 / (1 + (average - min) / BLOCK))
  return (to, length) => {
    if (to % BLOCK !== 0 && to !== segment.length) return false
    const word = tags.readUInt32LE((Math.ceil(to / BLOCK) - 1) * 16)
    return (length >= min && word < threshold) || length >= max
  }
}

function gearRule(keys: Keys, segment: Uint8Array, min: number, average: number, max: number): CutRule {
  const table = expand(keys.gear, 'cdc gear', 2048)
  const gear = Array.from({ length: 256 }, (_, byte) => table.readBigUInt64LE(8 * byte))
  const exponent = Math.round(Math.log2(average))
  const highest = (bits: number): bigint => ((1n << BigInt(bits)) - 1n) << BigInt(64 - bits)
  const strict = highest(exponent + 2)
  const loose = highest(exponent - 2)
  // The hash of all bytes up to each place; older ones than the last 64 have left it.
  const hashes = new BigUint64Array(segment.length + 1)
  for (let at = 0; at < segment.length; at++)
    hashes[at + 1] = BigInt.asUintN(64, 2n * hashes[at]! + gear[segment[at]!]!)
  return (to, length) => {
    if (length < min) return false
    const mask = length < average ? strict : loose
    return (hashes[to]! & mask) === 0n || length === max
  }
}

function merged(runs: readonly Run[]): Run[] {
  const result: Run[] = []
  for (const run of runs) {
    const last = result.at(-1)
    if (last !== undefined && run.kind !== 0 && last.kind === run.kind)
      result[result.length - 1] = { kind: run.kind, span: last.span + run.span }
    else result.push(run)
  }
  return result
}

/** Section 11. @param digest of the region of a leaf. */
function encoded(level: number, runs: readonly Run[], digest?: Uint8Array): Buffer {
  const ids = runs.flatMap(({ id }) => (id === undefined ? [] : [id]))
  const padding = Buffer.alloc((4 - (runs.length % 4)) % 4)
  return Buffer.concat([
    Buffer.from('PLTN', 'latin1'),
    Buffer.of(1, level, 0, 0),
    u32(runs.length),
    u32(ids.length),
    Buffer.from(runs.map(({ kind }) => kind)),
    padding,
    ...runs.map(({ span }) => u32(span)),
    ...ids,
    ...(level === 0 ? [digest ?? Buffer.alloc(32)] : []),
  ])
}
