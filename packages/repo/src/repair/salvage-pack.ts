import { CODEC, createHasher, type Hasher, type PackId, PlatterError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import type { IndexedPack } from '../format/index-segment.ts'
import { PACK_HEADER_BYTES, saltOfHeader } from '../format/pack-file.ts'
import { BlobOpener } from '../pack/blob-opener.ts'
import { verifiedEntries } from '../pack/pack-uploader.ts'
import type { BlobStock } from './blob-stock.ts'

/** What was found in a damaged pack. */
export interface Salvaged {
  readonly blobs: number
  readonly blobsSalvaged: number
  readonly blobsElsewhere: number
  readonly blobsLost: number
}

/** Where a blob may lie in what is left of a pack, and the salt that the pack had. */
interface Place {
  readonly entry: BlobEntry
  readonly salt: Uint8Array
}

/** Takes intact blobs out of damaged packs. */
export class PackSalvager {
  readonly #stock: BlobStock
  readonly #packKey: Uint8Array | undefined
  readonly #opener: BlobOpener
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher

  constructor(stock: BlobStock, keys: RepositoryKeys) {
    this.#stock = stock
    this.#packKey = keys.pack
    this.#opener = new BlobOpener(keys.pack)
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
  }

  /**
   * Takes over every blob that hashes to its id and of which there is no other copy.
   *
   * @param file what is left of the pack; undefined when it is gone.
   * @param listed what index segments have of it, for when its header or directory is damaged.
   */
  async salvage(id: PackId, file: Uint8Array | undefined, listed: readonly IndexedPack[]): Promise<Salvaged> {
    const counts = { blobs: 0, blobsSalvaged: 0, blobsElsewhere: 0, blobsLost: 0 }
    const places = [...(file === undefined ? [] : this.#ownPlaces(id, file))]
    for (const { salt, entries } of listed) places.push(...entries.map((entry) => ({ entry, salt })))
    for (const group of byBlob(places)) {
      const { id: blob, type } = group[0]!.entry
      counts.blobs++
      if (file !== undefined && (await this.#fromAny(group, file))) counts.blobsSalvaged++
      else if (this.#stock.has(blob, type, undefined)) counts.blobsElsewhere++
      else counts.blobsLost++
    }
    return counts
  }

  async #fromAny(places: readonly Place[], file: Uint8Array): Promise<boolean> {
    for (const { entry, salt } of places) {
      if (this.#stock.has(entry.id, entry.type, undefined)) return false
      const { offset, storedBytes } = entry
      if (offset + storedBytes > file.length) continue
      const hasher = entry.type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
      const plain = this.#opener.open(entry, salt, file.subarray(offset, offset + storedBytes), hasher)
      if (plain === undefined) continue
      await this.#stock.salvage(entry.id, entry.type, plain, entry.codec !== CODEC.none)
      return true
    }
    return false
  }

  /** What a pack's own directory says, if it can be read. */
  #ownPlaces(id: PackId, file: Uint8Array): Place[] {
    try {
      const entries = verifiedEntries(id, file, this.#packKey)
      const salt = saltOfHeader(file.subarray(0, PACK_HEADER_BYTES))
      return entries.map((entry) => ({ entry, salt }))
    } catch (error) {
      if (PlatterError.is(error, 'ERR_CORRUPT_PACK')) return []
      throw error
    }
  }
}

/** Places grouped by the blob they are of. */
function byBlob(places: readonly Place[]): Iterable<readonly Place[]> {
  const groups = new Map<string, Place[]>()
  for (const place of places) {
    const key = `${place.entry.type}${Buffer.from(place.entry.id).toString('latin1')}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [place])
    else group.push(place)
  }
  return groups.values()
}
