import { HASH_BYTES } from '@platter/core'
import type { IndexSegment } from '../format/index-segment.ts'
import { ChunkIndex, type KnownPack, PLACE_WORDS } from './chunk-index.ts'

/** Growing by less would mean copying more often. */
const GROWTH = 1.5
/** How many times what was read is expected at most, so that a store cannot claim memory by what it lists alone. */
export const MAX_EXPECTED_GROWTH = 4
/** Entries expected before anything was read: 768 MiB, which cost nothing before they are used. */
export const MAX_EXPECTED_ENTRIES: number = 2 ** 24

/**
 * Makes a chunk index of one segment after the other, so that no more than the one at hand is in memory besides.
 * Numbers of packs count on from segment to segment, in the order in which they are added.
 */
export class ChunkIndexBuilder {
  readonly #packs: KnownPack[] = []
  readonly #expected: number
  #size = 0
  #ids: Uint8Array<ArrayBuffer>
  #places: Uint32Array<ArrayBuffer>

  /**
   * @param expectedEntries how many there will be; with fewer expected than come, memory is copied on the way, and with
   * very many, as they may not come at all.
   */
  constructor(expectedEntries = 0) {
    this.#expected = expectedEntries
    const room = Math.min(expectedEntries, MAX_EXPECTED_ENTRIES)
    this.#ids = new Uint8Array(room * HASH_BYTES)
    this.#places = new Uint32Array(room * PLACE_WORDS)
  }

  /** Entries that there is room for. */
  get capacity(): number {
    return this.#ids.length / HASH_BYTES
  }

  /** @throws ERR_CORRUPT_INDEX when an entry is impossible; then nothing of the segment was added. */
  add(segment: IndexSegment): void {
    const size = this.#size + segment.entryCount
    this.#makeRoom(size)
    segment.copyPlaces(this.#places.subarray(this.#size * PLACE_WORDS), this.#packs.length)
    this.#ids.set(segment.ids, this.#size * HASH_BYTES)
    for (const pack of segment.packs) this.#packs.push(pack)
    this.#size = size
  }

  /** The index of all that was added. The builder is spent. */
  build(): ChunkIndex {
    return new ChunkIndex(this.#packs, this.#size, this.#ids, this.#places)
  }

  #makeRoom(entries: number): void {
    if (entries * HASH_BYTES <= this.#ids.length) return
    const expected = Math.min(this.#expected, entries * MAX_EXPECTED_GROWTH)
    // What was expected and is enough is taken as it is.
    const capacity = expected >= entries ? expected : Math.ceil(Math.max(entries, this.#size * GROWTH))
    const ids = new Uint8Array(capacity * HASH_BYTES)
    const places = new Uint32Array(capacity * PLACE_WORDS)
    ids.set(this.#ids.subarray(0, this.#size * HASH_BYTES))
    places.set(this.#places.subarray(0, this.#size * PLACE_WORDS))
    this.#ids = ids
    this.#places = places
  }
}

/** The index of segments that are in memory. @throws ERR_CORRUPT_INDEX when an entry is impossible. */
export function chunkIndexOf(segments: Iterable<IndexSegment>): ChunkIndex {
  const builder = new ChunkIndexBuilder()
  for (const segment of segments) builder.add(segment)
  return builder.build()
}
