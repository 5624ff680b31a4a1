// Images made from few numbers, for tests that need many of them.

import { createHash } from 'node:crypto'
import type { BlockSource, Extent, ExtentKind, RandomSource } from '@platter/core'
import * as fc from 'fast-check'

const BLOCK_BYTES = 4096
const MIN_HOLE_BYTES = 64 * 1024

/** Bytes that do not compress and do not repeat; the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(length / 4) * 4)
  const words = new Uint32Array(bytes.buffer)
  let state = (Math.imul(seed + 1, 2654435761) ^ 0x9e3779b9) | 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = Math.imul(state, 0x2c1b3c6d)
  }
  return bytes.slice(0, length)
}

/** Text that compresses well, the same for the same length. */
export function words(length: number): Uint8Array<ArrayBuffer> {
  const text = new Uint8Array(length)
  const view = Buffer.from(text.buffer)
  let state = 1
  for (let at = 0; at < length; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    at += view.write(`block ${(state >>> 24) % 20} of ${(state >>> 20) % 7}\n`, at, 'latin1')
  }
  return text
}

/** A random source that gives the same every time: only for tests that must repeat a run. */
export function seededRandom(seed: number): RandomSource {
  let calls = 0
  return (length) =>
    new Uint8Array(createHash('shake256', { outputLength: length }).update(`${seed} ${calls++}`).digest())
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

export async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

export async function* listed<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

/** What a stretch of an image holds, and what its source says of it. */
type Content = 'noise' | 'repeated' | 'words' | 'zeros' | 'hole' | 'unused'

export interface ImageSpec {
  readonly stretches: readonly { readonly content: Content; readonly length: number; readonly seed: number }[]
  /** Cut or filled up to this size, where it is given. */
  readonly sizeBytes: number | undefined
}

/** An image as a source has it, what the source can say of it, and what a restore gives then. */
export interface TestImage {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly extents: readonly Extent[]
  /** Like `bytes`, with zeros for what was left out because the extents call it unused. */
  readonly restored: Uint8Array<ArrayBuffer>
}

const stretchLength = fc.oneof(
  fc.integer({ min: 1, max: 6000 }),
  fc.integer({ min: 1, max: 50 }).map((blocks) => blocks * BLOCK_BYTES),
  fc.constantFrom(
    MIN_HOLE_BYTES - BLOCK_BYTES,
    MIN_HOLE_BYTES - 1,
    MIN_HOLE_BYTES,
    MIN_HOLE_BYTES + 1,
    4 * MIN_HOLE_BYTES,
  ),
  fc.integer({ min: 1, max: 200_000 }),
)

/** Images of up to 1.5 MiB; every fourth of a size that is on a border. */
export const imageSpec: fc.Arbitrary<ImageSpec> = fc.record({
  stretches: fc.array(
    fc.record({
      content: fc.constantFrom<Content>(
        'noise',
        'noise',
        'repeated',
        'words',
        'zeros',
        'zeros',
        'hole',
        'unused',
      ),
      length: stretchLength,
      seed: fc.nat(1000),
    }),
    { maxLength: 9 },
  ),
  sizeBytes: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        0,
        1,
        511,
        512,
        513,
        4095,
        4096,
        4097,
        65_535,
        65_536,
        65_537,
        131_072,
        1_500_001,
      ),
    },
  ),
})

const KIND: Readonly<Record<Content, ExtentKind>> = {
  noise: 'data',
  repeated: 'data',
  words: 'data',
  zeros: 'data',
  hole: 'hole',
  unused: 'unused',
}

function contentBytes(content: Content, length: number, seed: number): Uint8Array {
  if (content === 'zeros' || content === 'hole') return new Uint8Array(length)
  if (content === 'words') return words(length)
  if (content !== 'repeated') return noise(length, seed)
  // Three units in all images, so that images share data.
  const bytes = new Uint8Array(length)
  const unit = noise(48 * 1024, 10_000 + (seed % 3))
  for (let at = 0; at < length; at += unit.length) bytes.set(unit.subarray(0, length - at), at)
  return bytes
}

export function makeImage({ stretches, sizeBytes }: ImageSpec): TestImage {
  const total = stretches.reduce((sum, { length }) => sum + length, 0)
  const size = Math.min(sizeBytes ?? total, 1_572_864)
  const bytes = new Uint8Array(size)
  const extents: Extent[] = []
  let offset = 0
  for (const { content, length, seed } of stretches) {
    const part = Math.min(length, size - offset)
    if (part <= 0) break
    bytes.set(contentBytes(content, part, seed), offset)
    extents.push({ kind: KIND[content], offset, length: part })
    offset += part
  }
  if (offset < size) {
    bytes.set(noise(size - offset, size), offset)
    extents.push({ kind: 'data', offset, length: size - offset })
  }
  return { bytes, extents, restored: withoutUnused(bytes, extents) }
}

/** From the rule: whole blocks within 64 KiB or more of unused space are left out. */
function withoutUnused(bytes: Uint8Array, extents: readonly Extent[]): Uint8Array<ArrayBuffer> {
  const restored = new Uint8Array(bytes)
  for (let i = 0; i < extents.length; i++) {
    if (extents[i]!.kind !== 'unused' || extents[i - 1]?.kind === 'unused') continue
    let last = i
    while (extents[last + 1]?.kind === 'unused') last++
    const end = extents[last]!.offset + extents[last]!.length
    const from = Math.ceil(extents[i]!.offset / BLOCK_BYTES) * BLOCK_BYTES
    const to = end === bytes.length ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES
    if (to - from >= MIN_HOLE_BYTES) restored.fill(0, from, to)
  }
  return restored
}

/** Bytes in pieces of changing sizes, as a pipe gives them. */
export async function* inPieces(bytes: Uint8Array, seed: number): AsyncGenerator<Uint8Array> {
  let state = seed | 1
  for (let at = 0; at < bytes.length; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    const length = [1, 100, 4096, 10_000, 65_536, 300_000, 1_000_000][(state >>> 16) % 7]!
    yield bytes.slice(at, at + length)
    at += length
  }
}

/** A disk far larger than memory: zeros but for some places. Its extents tell. */
export class SparseDisk implements BlockSource {
  readonly sequential = false
  readonly info: BlockSource['info']
  /** Bytes read in all. */
  bytesRead = 0
  readonly #places: readonly { readonly offset: number; readonly bytes: Uint8Array }[]

  /** @param places ascending, apart from each other. */
  constructor(sizeBytes: number, places: readonly { readonly offset: number; readonly bytes: Uint8Array }[]) {
    this.#places = places
    this.info = {
      kind: 'memory',
      label: 'sparse',
      sizeBytes,
      logicalSectorBytes: 512,
      physicalSectorBytes: 4096,
    }
  }

  async *extents(): AsyncGenerator<Extent> {
    let at = 0
    const sizeBytes = this.info.sizeBytes!
    for (const { offset, bytes } of this.#places) {
      if (offset > at) yield { kind: 'hole', offset: at, length: offset - at }
      yield { kind: 'data', offset, length: bytes.length }
      at = offset + bytes.length
    }
    if (at < sizeBytes) yield { kind: 'hole', offset: at, length: sizeBytes - at }
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const length = Math.min(into.length, this.info.sizeBytes! - offset)
    this.fill(offset, into.subarray(0, length))
    this.bytesRead += length
    return length
  }

  /** What stands at a place, without counting as a read. */
  fill(offset: number, into: Uint8Array): void {
    into.fill(0)
    for (const place of this.#places) {
      const from = Math.max(offset, place.offset)
      const to = Math.min(offset + into.length, place.offset + place.bytes.length)
      if (from < to) into.set(place.bytes.subarray(from - place.offset, to - place.offset), from - offset)
    }
  }

  async assertUnchanged(): Promise<void> {}
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
