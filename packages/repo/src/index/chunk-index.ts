import { type CodecNumber, HASH_BYTES } from '@platter/core'
import type { BlobEntry, BlobType } from '../format/blob-entry.ts'
import type { IndexSegment, ListedPack } from '../format/index-segment.ts'

/** Where a blob is: its pack and its place in it. */
export interface BlobLocation extends Omit<BlobEntry, 'id'> {
  /** Number of the pack in `ChunkIndex.packs`. */
  readonly pack: number
}

/** A pack that the index names. */
export type KnownPack = ListedPack

/**
 * All blobs the repository's index names, for looking them up by id: 48 bytes each (id 32, place 16) in typed
 * arrays, grouped by the first bits of the id; ids are uniformly random, so a group holds a handful.
 */
export class ChunkIndex {
  readonly packs: readonly KnownPack[]
  readonly size: number
  readonly #ids: Uint8Array
  readonly #idWords: Uint32Array
  /** For each blob: pack; offset; stored length; raw length with codec and type in the upper 8 bits. */
  readonly #places: Uint32Array
  readonly #groupStarts: Uint32Array
  readonly #groupShift: number
  readonly #key = new Uint8Array(HASH_BYTES)
  readonly #keyWords = new Uint32Array(this.#key.buffer)

  /** @throws ERR_CORRUPT_INDEX when an entry of a segment is impossible. */
  constructor(segments: readonly IndexSegment[]) {
    const size = segments.reduce((sum, segment) => sum + segment.entryCount, 0)
    const groupBits = Math.max(0, Math.ceil(Math.log2(Math.max(1, size / 8))))
    this.size = size
    this.#groupShift = 32 - groupBits
    this.#groupStarts = new Uint32Array(2 ** groupBits + 1)
    this.#ids = new Uint8Array(size * HASH_BYTES)
    this.#idWords = new Uint32Array(this.#ids.buffer)
    this.#places = new Uint32Array(size * 4)
    for (const { ids } of segments) {
      for (let at = 0; at < ids.length; at += HASH_BYTES) this.#groupStarts[this.#groupOf(ids, at) + 1]! += 1
    }
    for (let i = 1; i < this.#groupStarts.length; i++) this.#groupStarts[i]! += this.#groupStarts[i - 1]!
    this.packs = this.#fill(segments)
  }

  /** Number of the first entry with this id, or -1. The id may stand in several packs. */
  find(id: Uint8Array): number {
    return this.#findFrom(id, -1)
  }

  /**
   * Like `find`, for the id numbered `i` of ids that stand one after the other; faster where there are many.
   *
   * @param words the ids' memory, eight words each.
   */
  findNumbered(words: Uint32Array, i: number): number {
    const at = i * 8
    const first = words[at]!
    const swapped =
      ((first << 24) | ((first & 0xff00) << 8) | ((first >>> 8) & 0xff00) | (first >>> 24)) >>> 0
    const group = this.#groupShift === 32 ? 0 : swapped >>> this.#groupShift
    const ids = this.#idWords
    const end = this.#groupStarts[group + 1]!
    for (let entry = this.#groupStarts[group]!; entry < end; entry++) {
      const from = entry * 8
      if (ids[from] !== first) continue
      let word = 1
      while (word < 8 && ids[from + word] === words[at + word]) word++
      if (word === 8) return entry
    }
    return -1
  }

  /** Number of the next entry with the same id after entry `after`, or -1. */
  findNext(id: Uint8Array, after: number): number {
    return this.#findFrom(id, after)
  }

  /** Id of an entry, as a view. */
  id(entry: number): Uint8Array {
    return this.#ids.subarray(entry * HASH_BYTES, (entry + 1) * HASH_BYTES)
  }

  /** Number of an entry's pack in `packs`; cheaper than its whole location. */
  packOf(entry: number): number {
    return this.#places[entry * 4]!
  }

  /** Stored length of an entry's blob in bytes. */
  storedBytesOf(entry: number): number {
    return this.#places[entry * 4 + 2]!
  }

  /** Where an entry's blob is. */
  location(entry: number): BlobLocation {
    const at = entry * 4
    const packed = this.#places[at + 3]!
    return {
      pack: this.#places[at]!,
      offset: this.#places[at + 1]!,
      storedBytes: this.#places[at + 2]!,
      rawBytes: packed & 0x00ff_ffff,
      codec: ((packed >>> 24) & 0x0f) as CodecNumber,
      type: (packed >>> 28) as BlobType,
    }
  }

  #findFrom(id: Uint8Array, after: number): number {
    this.#key.set(id)
    const group = this.#groupOf(id, 0)
    const end = this.#groupStarts[group + 1]!
    const words = this.#idWords
    const key = this.#keyWords
    for (let entry = Math.max(this.#groupStarts[group]!, after + 1); entry < end; entry++) {
      const at = entry * 8
      if (words[at] !== key[0]) continue
      let i = 1
      while (i < 8 && words[at + i] === key[i]) i++
      if (i === 8) return entry
    }
    return -1
  }

  #groupOf(ids: Uint8Array, at: number): number {
    // A shift by 32 would be a shift by 0.
    if (this.#groupShift === 32) return 0
    const first = ((ids[at]! << 24) | (ids[at + 1]! << 16) | (ids[at + 2]! << 8) | ids[at + 3]!) >>> 0
    return first >>> this.#groupShift
  }

  #fill(segments: readonly IndexSegment[]): KnownPack[] {
    const packs: KnownPack[] = []
    const next = this.#groupStarts.slice(0, -1)
    for (const segment of segments) {
      const firstPack = packs.length
      packs.push(...segment.packs)
      for (let i = 0; i < segment.entryCount; i++) {
        const entry = segment.entry(i)
        const to = next[this.#groupOf(entry.id, 0)]!++
        this.#ids.set(entry.id, to * HASH_BYTES)
        this.#places[to * 4] = firstPack + entry.pack
        this.#places[to * 4 + 1] = entry.offset
        this.#places[to * 4 + 2] = entry.storedBytes
        this.#places[to * 4 + 3] = (entry.rawBytes | (entry.codec << 24) | (entry.type << 28)) >>> 0
      }
    }
    return packs
  }
}
