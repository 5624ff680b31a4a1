import { createHasher, type Hasher, PlatterError, type ReadableStore } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry, type BlobType } from '../format/blob-entry.ts'
import { packName } from '../format/object-names.ts'
import type { BlobLocation, ChunkIndex } from '../index/chunk-index.ts'
import { BlobOpener, type OpenedBlob } from './blob-opener.ts'
import type { FetchedBlob } from './fetched-blob.ts'
import { readPackRange } from './read-pack-range.ts'

/** Reads under way at once when many blobs are read. */
const CONCURRENCY = 4
/** Blobs closer together than this are fetched in one read. */
const MAX_GAP_BYTES = 64 * 1024
/** Longest single read. */
const MAX_READ_BYTES = 4 * 1024 * 1024

/** Opens a blob with the salt of its pack; undefined when it is damaged. */
type Open<Opened> = (
  entry: BlobEntry,
  packSalt: Uint8Array,
  sealed: Uint8Array,
  hasher: Hasher,
) => Opened | undefined

/** Decodes chunks elsewhere than in the calling thread. */
export interface BlobDecoder {
  /**
   * Plaintexts of chunks, each checked against its id and in memory of its own; undefined where one is damaged. The
   * memory of what is sealed goes with them.
   */
  decode(blobs: readonly FetchedBlob[]): Promise<readonly (Uint8Array | undefined)[]>
}

/**
 * Reads single blobs and checks each against its id. For bulk reading see the restore.
 *
 * A prune may move blobs to other packs meanwhile. A reader that misses one therefore looks at the index again.
 */
export class BlobReader {
  readonly #store: ReadableStore
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher
  readonly #opener: BlobOpener
  readonly #loadIndex: (() => Promise<ChunkIndex>) | undefined
  readonly #decoder: BlobDecoder | undefined
  #index: ChunkIndex
  #loading: Promise<ChunkIndex> | undefined

  /**
   * @param loadIndex reads the index anew; without it, the one given is all there is.
   * @param decoder decodes chunks; without it, that is done here.
   */
  constructor(
    store: ReadableStore,
    index: ChunkIndex,
    keys: RepositoryKeys,
    loadIndex?: () => Promise<ChunkIndex>,
    decoder?: BlobDecoder,
  ) {
    this.#store = store
    this.#index = index
    this.#loadIndex = loadIndex
    this.#decoder = decoder
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
    this.#opener = new BlobOpener(keys.pack)
  }

  /** The index as it was read last. */
  get index(): ChunkIndex {
    return this.#index
  }

  /**
   * Plaintext of a blob. Where several packs hold it, the next is tried when one is damaged or gone.
   *
   * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, and what the store throws.
   */
  async read(id: Uint8Array, type: BlobType, signal?: AbortSignal): Promise<Uint8Array> {
    if (this.#decoder !== undefined && type === BLOB_TYPE.chunk)
      return (await this.readMany([id], type, signal))[0]!
    return await this.#readHere(id, type, signal)
  }

  /** Like `read`, with what the codec made beside the plaintext: for storing the blob in another pack. */
  async readStored(id: Uint8Array, type: BlobType, signal?: AbortSignal): Promise<OpenedBlob> {
    return await this.#read(id, type, signal, (...blob) => this.#opener.openStored(...blob))
  }

  /**
   * Plaintexts of many blobs of a type, in the order of their ids: neighbours in a pack are fetched in one read.
   *
   * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, and what the store throws.
   */
  async readMany(
    ids: readonly Uint8Array[],
    type: BlobType,
    signal?: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const index = this.#index
    const plains = new Array<Uint8Array>(ids.length)
    const alone: number[] = []
    const found: { readonly number: number; readonly place: BlobLocation }[] = []
    ids.forEach((id, number) => {
      const entry = index.find(id)
      if (entry < 0) alone.push(number)
      else found.push({ number, place: index.location(entry) })
    })
    const readRun = async (run: typeof found): Promise<void> => {
      const first = run[0]!.place
      const last = run[run.length - 1]!.place
      const name = packName(index.packs[first.pack]!.id)
      const length = last.offset + last.storedBytes - first.offset
      try {
        const options = signal === undefined ? {} : { signal }
        const bytes = await readPackRange(this.#store, name, first.offset, length, options)
        const blobs = run.map(({ number, place }) => {
          const from = place.offset - first.offset
          const sealed = bytes.subarray(from, from + place.storedBytes)
          return { ...place, id: ids[number]!, sealed, packSalt: index.packs[place.pack]!.salt }
        })
        const opened = await this.#open(blobs, type)
        for (const [i, { number, place }] of run.entries()) {
          const plain = opened[i]
          if (plain === undefined) throw corruptBlob(ids[number]!, name, place.offset)
          plains[number] = plain
        }
      } catch (error) {
        if (!isMissing(error) && !(error instanceof PlatterError && /^ERR_CORRUPT_/.test(error.code)))
          throw error
        // One by one there are other copies, and an error that says which blob it is.
        for (const { number } of run) plains[number] = await this.#readHere(ids[number]!, type, signal)
      }
    }
    for await (const _ of mapConcurrently(runsOf(found), CONCURRENCY, readRun));
    for (const number of alone) plains[number] = await this.#readHere(ids[number]!, type, signal)
    return plains
  }

  /**
   * Reads the index again, unless somebody did so since it was `seen`.
   *
   * @returns whether there is another index now.
   */
  async reload(seen: ChunkIndex): Promise<boolean> {
    if (this.#loadIndex === undefined) return false
    if (this.#index === seen) {
      this.#loading ??= this.#loadIndex().finally(() => {
        this.#loading = undefined
      })
      this.#index = await this.#loading
    }
    return this.#index !== seen
  }

  /** Plaintexts of blobs that were fetched; undefined where one is damaged, or of another type. */
  async #open(blobs: readonly FetchedBlob[], type: BlobType): Promise<readonly (Uint8Array | undefined)[]> {
    if (this.#decoder !== undefined && type === BLOB_TYPE.chunk) {
      if (blobs.some((blob) => blob.type !== type)) return blobs.map(() => undefined)
      return await this.#decoder.decode(blobs)
    }
    const hasher = this.#hasherOf(type)
    return blobs.map(({ packSalt, sealed, ...entry }) =>
      entry.type === type ? this.#opener.open(entry, packSalt, sealed!, hasher) : undefined,
    )
  }

  /** Reads and decodes a blob in this thread, from whichever pack has an intact copy. */
  async #readHere(id: Uint8Array, type: BlobType, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return await this.#read(id, type, signal, (...blob) => this.#opener.open(...blob))
  }

  #hasherOf(type: BlobType): Hasher {
    return type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
  }

  async #read<Opened>(
    id: Uint8Array,
    type: BlobType,
    signal: AbortSignal | undefined,
    open: Open<Opened>,
  ): Promise<Opened> {
    const index = this.#index
    try {
      return await this.#readFrom(index, id, type, signal, open)
    } catch (error) {
      if (!isMissing(error) || !(await this.reload(index))) throw error
      return await this.#readFrom(this.#index, id, type, signal, open)
    }
  }

  async #readFrom<Opened>(
    index: ChunkIndex,
    id: Uint8Array,
    type: BlobType,
    signal: AbortSignal | undefined,
    open: Open<Opened>,
  ): Promise<Opened> {
    let failure: unknown
    for (let entry = index.find(id); entry >= 0; entry = index.findNext(id, entry)) {
      try {
        return await this.#readEntry(index, id, type, entry, signal, open)
      } catch (error) {
        signal?.throwIfAborted()
        // What is gone may have moved; what is damaged is worth telling of.
        if (failure === undefined || isMissing(failure)) failure = error
      }
    }
    throw failure ?? missingBlob(id, type)
  }

  async #readEntry<Opened>(
    index: ChunkIndex,
    id: Uint8Array,
    type: BlobType,
    entry: number,
    signal: AbortSignal | undefined,
    open: Open<Opened>,
  ): Promise<Opened> {
    const place = index.location(entry)
    const name = packName(index.packs[place.pack]!.id)
    const sealed = await readPackRange(
      this.#store,
      name,
      place.offset,
      place.storedBytes,
      signal === undefined ? {} : { signal },
    )
    return this.#openAt(index, id, type, place, sealed, open)
  }

  /** The blob that was read from a place, checked. */
  #openAt<Opened>(
    index: ChunkIndex,
    id: Uint8Array,
    type: BlobType,
    place: BlobLocation,
    sealed: Uint8Array,
    open: Open<Opened>,
  ): Opened {
    const pack = index.packs[place.pack]!
    const opened =
      place.type === type ? open({ ...place, id }, pack.salt, sealed, this.#hasherOf(type)) : undefined
    if (opened === undefined) throw corruptBlob(id, packName(pack.id), place.offset)
    return opened
  }
}

/** Groups of blobs near each other in one pack, each in the order of their places. */
function runsOf<Item extends { readonly place: BlobLocation }>(items: readonly Item[]): Item[][] {
  const sorted = [...items].sort((a, b) => a.place.pack - b.place.pack || a.place.offset - b.place.offset)
  const runs: Item[][] = []
  for (const item of sorted) {
    const run = runs.at(-1)
    if (run !== undefined && isNear(run[0]!.place, run[run.length - 1]!.place, item.place)) run.push(item)
    else runs.push([item])
  }
  return runs
}

function isNear(first: BlobLocation, last: BlobLocation, next: BlobLocation): boolean {
  return (
    next.pack === first.pack &&
    next.offset - (last.offset + last.storedBytes) <= MAX_GAP_BYTES &&
    next.offset + next.storedBytes - first.offset <= MAX_READ_BYTES
  )
}

/** Whether an error says that a blob, or its pack, is not where the index placed it. */
export function isMissing(error: unknown): boolean {
  return PlatterError.is(error, 'ERR_NOT_FOUND') || PlatterError.is(error, 'ERR_CHUNK_MISSING')
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
