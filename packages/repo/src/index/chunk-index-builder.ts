import { HASH_BYTES } from '@platter/core'
import type { IndexSegment } from '../format/index-segment.ts'
import { ChunkIndex, type KnownPack, PLACE_WORDS } from './chunk-index.ts'

/** Growing by less would mean copying more often. */
const GROWTH = 1.5

/**
 * Makes a chunk index of one segment after the other, so that no more than the one at hand is in memory besides.
 * Numbers of packs count on from segment to segment, in the order in which they are added.
 */
export class ChunkIndexBuilder {
  readonly #packs: KnownPack[] = []
  #size = 0
  #ids: Uint8Array<ArrayBuffer>
  #places: Uint32Array<ArrayBuffer>

  /** @param expectedEntries how many there will be; with fewer expected than come, memory is copied on the way. */
  constructor(expectedEntries = 0) {
    this.#ids = new Uint8Array(expectedEntries * HASH_BYTES)
    this.#places = new Uint32Array(expectedEntries * PLACE_WORDS)
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
    const capacity = Math.ceil(Math.max(entries, this.#size * GROWTH))
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
