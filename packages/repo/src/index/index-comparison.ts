import type { PackId } from '@platter/core'
import type { BlobEntry } from '../format/blob-entry.ts'
import type { IndexedPack } from '../format/index-segment.ts'
import type { ChunkIndex } from './chunk-index.ts'

/** How what the index says of a pack compares with the pack itself. */
export type PackListing =
  /** They agree. */
  | 'true'
  /** The index names blobs that are not there, or not all that are, or another length of the file. */
  | 'false'
  /** No directory of the pack was given. */
  | 'unknown'

/**
 * Compares the index with the packs' own directories, one pack at a time: for each entry of the index one bit is
 * kept, whatever the number of packs.
 */
export class IndexComparison {
  readonly #index: ChunkIndex
  /** Numbers in the index under which a pack is listed: one for each segment that lists it. */
  readonly #numbers = new Map<PackId, number[]>()
  readonly #confirmed: Uint8Array
  readonly #listings: PackListing[]
  #finished = false

  constructor(index: ChunkIndex) {
    this.#index = index
    this.#confirmed = new Uint8Array(Math.ceil(index.size / 8))
    this.#listings = index.packs.map(() => 'unknown')
    index.packs.forEach(({ id }, number) => {
      const numbers = this.#numbers.get(id)
      if (numbers === undefined) this.#numbers.set(id, [number])
      else numbers.push(number)
    })
  }

  /** Whether any segment lists the pack. */
  lists(id: PackId): boolean {
    return this.#numbers.has(id)
  }

  /** Takes the directory of a pack. */
  add({ id, salt, fileBytes, entries }: IndexedPack): void {
    const numbers = this.#numbers.get(id)
    if (numbers === undefined) return
    for (const number of numbers) {
      const pack = this.#index.packs[number]!
      const isSameFile = pack.fileBytes === fileBytes && Buffer.compare(pack.salt, salt) === 0
      const agrees = isSameFile && pack.entryCount === entries.length
      this.#listings[number] = agrees ? 'true' : 'false'
    }
    const found = new Map<number, number>(numbers.map((number) => [number, 0]))
    for (const entry of entries) {
      for (let i = this.#index.find(entry.id); i >= 0; i = this.#index.findNext(entry.id, i)) {
        const place = this.#index.location(i)
        const count = found.get(place.pack)
        if (count === undefined || !samePlace(place, entry)) continue
        this.#confirmed[i >>> 3]! |= 1 << (i & 7)
        found.set(place.pack, count + 1)
      }
    }
    for (const [number, count] of found) {
      if (count < entries.length) this.#listings[number] = 'false'
    }
  }

  /** For each pack number of the index, how it compares. To be called when all directories have been given. */
  listings(): readonly PackListing[] {
    if (this.#finished) return this.#listings
    this.#finished = true
    for (let i = 0; i < this.#index.size; i++) {
      if ((this.#confirmed[i >>> 3]! & (1 << (i & 7))) !== 0) continue
      const { pack } = this.#index.location(i)
      if (this.#listings[pack] === 'true') this.#listings[pack] = 'false'
    }
    return this.#listings
  }
}

function samePlace(a: Omit<BlobEntry, 'id'>, b: Omit<BlobEntry, 'id'>): boolean {
  return (
    a.offset === b.offset &&
    a.storedBytes === b.storedBytes &&
    a.rawBytes === b.rawBytes &&
    a.codec === b.codec &&
    a.type === b.type
  )
}
