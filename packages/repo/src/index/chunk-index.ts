import { type CodecNumber, HASH_BYTES } from '@platter/core'
import type { BlobEntry, BlobType } from '../format/blob-entry.ts'
import type { ListedPack } from '../format/index-segment.ts'
import { drawSpreadKeys, spreadId } from './spread-ids.ts'

/** Where a blob is: its pack and its place in it. */
export interface BlobLocation extends Omit<BlobEntry, 'id'> {
  /** Number of the pack in `ChunkIndex.packs`. */
  readonly pack: number
}

/** A pack that the index names. */
export type KnownPack = ListedPack

const ID_WORDS = HASH_BYTES / 4
/** Numbers for the place of each blob. */
export const PLACE_WORDS = 4
/** Entries of a group, on average, half as many at least: ids are uniformly random. */
const GROUP_ENTRIES = 2
/** Longest group that is left as it is; among random ids there is none half as long. */
const MAX_GROUP_ENTRIES = 64

/**
 * All blobs the repository's index names, for looking them up by id: id (32) and place (16) of each in typed arrays,
 * in the order of the segments, and beside them the numbers of all entries (4), grouped by the first bits of the id (2 to
 * 4). `ChunkIndexBuilder` makes one.
 */
export class ChunkIndex {
  /** Once for each segment that lists it. */
  readonly packs: readonly KnownPack[]
  readonly size: number
  readonly #idWords: Int32Array
  readonly #ids: Uint8Array
  /** For each blob: pack; offset; stored length; raw length with codec and type in the upper 8 bits. */
  readonly #places: Uint32Array
  /** Numbers of the entries by group, ascending within each. */
  readonly #grouped: Uint32Array
  readonly #groupStarts: Uint32Array
  readonly #groupShift: number
  /** When ids are made up so that many begin alike, what spreads them over the groups instead. */
  #spreadKeys: Int32Array | undefined
  readonly #key = new Uint8Array(HASH_BYTES)
  readonly #keyWords = new Int32Array(this.#key.buffer)

  /**
   * @param ids 32 bytes for each entry, in memory of their own; there may be more.
   * @param places what `IndexSegment.copyPlaces` wrote, for each entry.
   */
  constructor(
    packs: readonly KnownPack[],
    size: number,
    ids: Uint8Array<ArrayBuffer>,
    places: Uint32Array<ArrayBuffer>,
  ) {
    this.packs = packs
    this.size = size
    this.#ids = ids
    this.#idWords = new Int32Array(ids.buffer)
    this.#places = places
    const groupBits = Math.ceil(Math.log2(Math.max(2, size / GROUP_ENTRIES)))
    this.#groupShift = 32 - groupBits
    this.#groupStarts = new Uint32Array(2 ** groupBits + 1)
    this.#grouped = new Uint32Array(size)
    this.#group()
  }

  /** Number of the first entry with this id, or -1. The id may stand in several packs. */
  find(id: Uint8Array): number {
    this.#key.set(id)
    return this.#search(this.#keyWords, 0, -1)
  }

  /**
   * Like `find`, for the id numbered `i` of ids that stand one after the other; faster where there are many.
   *
   * @param words the ids' memory, eight words each.
   */
  findNumbered(words: Int32Array, i: number): number {
    return this.#search(words, i * ID_WORDS, -1)
  }

  /** Number of the next entry with the same id after entry `after`, or -1. */
  findNext(id: Uint8Array, after: number): number {
    this.#key.set(id)
    return this.#search(this.#keyWords, 0, after)
  }

  /** Number of the next entry with the same id as an entry, or -1. */
  nextCopy(entry: number): number {
    return this.#search(this.#idWords, entry * ID_WORDS, entry)
  }

  /** Id of an entry, as a view. */
  id(entry: number): Uint8Array {
    return this.#ids.subarray(entry * HASH_BYTES, (entry + 1) * HASH_BYTES)
  }

  /** Number of an entry's pack in `packs`; cheaper than its whole location. */
  packOf(entry: number): number {
    return this.#places[entry * PLACE_WORDS]!
  }

  /** Stored length of an entry's blob in bytes. */
  storedBytesOf(entry: number): number {
    return this.#places[entry * PLACE_WORDS + 2]!
  }

  /** Where an entry's blob is. */
  location(entry: number): BlobLocation {
    const at = entry * PLACE_WORDS
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

  /** First entry after `after` with the id that stands at `at` of `words`. */
  #search(words: Int32Array, at: number, after: number): number {
    const ids = this.#idWords
    const group = this.#groupOf(words, at)
    const end = this.#groupStarts[group + 1]!
    for (let i = this.#firstBehind(after, this.#groupStarts[group]!, end); i < end; i++) {
      const entry = this.#grouped[i]!
      const from = entry * ID_WORDS
      let word = 0
      while (word < ID_WORDS && ids[from + word] === words[at + word]) word++
      if (word === ID_WORDS) return entry
    }
    return -1
  }

  /** Place in `#grouped`, from `from` to `to`, of the first entry after `after`; a blob can have any number of copies. */
  #firstBehind(after: number, from: number, to: number): number {
    let [low, high] = [from, after < 0 ? from : to]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#grouped[middle]! <= after) low = middle + 1
      else high = middle
    }
    return low
  }

  #groupOf(words: Int32Array, at: number): number {
    const keys = this.#spreadKeys
    return (keys === undefined ? words[at]! : spreadId(words, at, keys, 0)) >>> this.#groupShift
  }

  /** Sorts the numbers of all entries by group, by counting. */
  #group(): void {
    if (this.#countGroups() > MAX_GROUP_ENTRIES) {
      this.#spreadKeys = drawSpreadKeys()
      this.#countGroups()
    }
    const ids = this.#idWords
    const starts = this.#groupStarts
    for (let group = 1; group < starts.length; group++) starts[group]! += starts[group - 1]!
    // From behind, each group's end is where its last entry goes; when all are placed, it has become its start.
    for (let entry = this.size - 1; entry >= 0; entry--) {
      const group = this.#groupOf(ids, entry * ID_WORDS)
      starts[group + 1]! -= 1
      this.#grouped[starts[group + 1]!] = entry
    }
    starts.copyWithin(0, 1)
    starts[starts.length - 1] = this.size
  }

  /** Counts the entries of each group, behind its place. @returns the most that one has. */
  #countGroups(): number {
    const ids = this.#idWords
    const counts = this.#groupStarts.fill(0)
    let most = 0
    for (let entry = 0; entry < this.size; entry++) {
      const count = (counts[this.#groupOf(ids, entry * ID_WORDS) + 1]! += 1)
      if (count > most) most = count
    }
    return most
  }
}
