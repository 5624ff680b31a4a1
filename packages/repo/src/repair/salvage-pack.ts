import {
  CODEC,
  createHasher,
  decompress,
  type Hasher,
  type PackId,
  PlatterError,
  releaseMemory,
} from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import { verifiedEntries } from '../pack/pack-uploader.ts'
import type { BlobStock } from './blob-stock.ts'

/** What was found in a damaged pack. */
export interface Salvaged {
  readonly blobs: number
  readonly blobsSalvaged: number
  readonly blobsElsewhere: number
  readonly blobsLost: number
}

/** Takes intact blobs out of damaged packs. */
export class PackSalvager {
  readonly #stock: BlobStock
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher

  constructor(stock: BlobStock, keys: RepositoryKeys) {
    this.#stock = stock
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
  }

  /**
   * Takes over every blob that hashes to its id and of which there is no other copy.
   *
   * @param file what is left of the pack; undefined when it is gone.
   * @param listed what the index has of it, for when its own directory is damaged, or disagrees.
   */
  async salvage(id: PackId, file: Uint8Array | undefined, listed: readonly BlobEntry[]): Promise<Salvaged> {
    const counts = { blobs: 0, blobsSalvaged: 0, blobsElsewhere: 0, blobsLost: 0 }
    for (const places of byBlob([...(file === undefined ? [] : ownEntries(id, file)), ...listed])) {
      const { id: blob, type } = places[0]!
      counts.blobs++
      if (file !== undefined && (await this.#fromAny(places, file))) counts.blobsSalvaged++
      else if (this.#stock.has(blob, type, undefined)) counts.blobsElsewhere++
      else counts.blobsLost++
    }
    return counts
  }

  async #fromAny(places: readonly BlobEntry[], file: Uint8Array): Promise<boolean> {
    for (const entry of places) {
      if (this.#stock.has(entry.id, entry.type, undefined)) return false
      const { offset, storedBytes, codec, rawBytes } = entry
      if (offset + storedBytes > file.length) continue
      const stored = file.subarray(offset, offset + storedBytes)
      const plain = this.#plain(entry, stored)
      if (plain === undefined) continue
      await this.#stock.salvage(entry.id, entry.type, codec, stored, plain)
      if (codec !== CODEC.none && plain.length === rawBytes) releaseMemory(plain)
      return true
    }
    return false
  }

  #plain({ id, type, codec, rawBytes }: BlobEntry, stored: Uint8Array): Uint8Array | undefined {
    const hasher = type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
    try {
      const plain = decompress(codec, stored, rawBytes)
      return Buffer.compare(hasher.hash(plain), id) === 0 ? plain : undefined
    } catch (error) {
      if (PlatterError.is(error, 'ERR_CORRUPT_BLOB')) return undefined
      throw error
    }
  }
}

/** What a pack's own directory says, if it can be read. */
function ownEntries(id: PackId, file: Uint8Array): readonly BlobEntry[] {
  try {
    return verifiedEntries(id, file)
  } catch (error) {
    if (PlatterError.is(error, 'ERR_CORRUPT_PACK')) return []
    throw error
  }
}

/** Entries grouped by the blob they are of. */
function byBlob(entries: readonly BlobEntry[]): Iterable<readonly BlobEntry[]> {
  const groups = new Map<string, BlobEntry[]>()
  for (const entry of entries) {
    const key = `${entry.type}${Buffer.from(entry.id).toString('latin1')}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [entry])
    else group.push(entry)
  }
  return groups.values()
}
