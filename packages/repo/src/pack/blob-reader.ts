import { createHasher, type Hasher, PlatterError, type ReadableStore } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobType } from '../format/blob-entry.ts'
import { packName } from '../format/object-names.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { BlobOpener } from './blob-opener.ts'
import { readPackRange } from './read-pack-range.ts'

/** Reads single blobs and checks each against its id. For bulk reading see the restore. */
export class BlobReader {
  readonly index: ChunkIndex
  readonly #store: ReadableStore
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher
  readonly #opener: BlobOpener

  constructor(store: ReadableStore, index: ChunkIndex, keys: RepositoryKeys) {
    this.#store = store
    this.index = index
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
    this.#opener = new BlobOpener(keys.pack)
  }

  /**
   * Plaintext of a blob. Where several packs hold it, the next is tried when one is damaged or gone.
   *
   * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, and what the store throws.
   */
  async read(id: Uint8Array, type: BlobType, signal?: AbortSignal): Promise<Uint8Array> {
    let failure: unknown
    for (let entry = this.index.find(id); entry >= 0; entry = this.index.findNext(id, entry)) {
      try {
        return await this.#readEntry(id, type, entry, signal)
      } catch (error) {
        signal?.throwIfAborted()
        failure ??= error
      }
    }
    throw failure ?? missingBlob(id, type)
  }

  async #readEntry(
    id: Uint8Array,
    type: BlobType,
    entry: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const place = this.index.location(entry)
    const pack = this.index.packs[place.pack]!
    const name = packName(pack.id)
    const sealed = await readPackRange(
      this.#store,
      name,
      place.offset,
      place.storedBytes,
      signal === undefined ? {} : { signal },
    )
    const hasher = type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
    const plain =
      place.type === type ? this.#opener.open({ ...place, id }, pack.salt, sealed, hasher) : undefined
    if (plain === undefined) throw corruptBlob(id, name, place.offset)
    return plain
  }
}

/** An ERR_CHUNK_MISSING that names the blob. */
export function missingBlob(id: Uint8Array, type: BlobType): PlatterError {
  const what = type === BLOB_TYPE.chunk ? 'chunk' : 'tree node'
  const hex = Buffer.from(id).toString('hex')
  return new PlatterError(
    'ERR_CHUNK_MISSING',
    `The ${what} ${hex} is in no pack the index names. Run a check; if packs are there that the index lacks, the index can be rebuilt.`,
    { object: hex },
  )
}

/** An ERR_CORRUPT_BLOB that names blob and pack. */
export function corruptBlob(id: Uint8Array, pack: string, offset: number, cause?: unknown): PlatterError {
  const hex = Buffer.from(id).toString('hex')
  return new PlatterError(
    'ERR_CORRUPT_BLOB',
    `The blob ${hex} at byte ${offset} of ${pack} is damaged. Put an intact copy of that object back, or run a check to see what else it affects.`,
    { object: pack, offset, cause },
  )
}
