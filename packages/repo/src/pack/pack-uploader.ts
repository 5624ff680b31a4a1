import {
  assert,
  type PackId,
  PlatterError,
  type SessionId,
  type StoreCallOptions,
  type WritableStore,
} from '@platter/core'
import { decodeIndexSegment, encodeIndexSegment, type IndexedPack } from '../format/index-segment.ts'
import { ENTRIES_PER_INDEX_SEGMENT, PACKS_PER_INDEX_SEGMENT } from '../format/limits.ts'
import { indexSegmentName, packName } from '../format/object-names.ts'
import {
  assertPadding,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  readPackDirectory,
  readPackTrailer,
  saltOfHeader,
} from '../format/pack-file.ts'
import type { SealedStore } from '../format/sealed-store.ts'

/** Puts under way at once: one is written while another is synced. */
const CONCURRENCY = 3

/**
 * Stores packs, and index segments that list them. A segment is written only after every pack it lists is
 * durable, so whatever the index names is there, whenever the process dies.
 */
export class PackUploader {
  readonly #objects: SealedStore<WritableStore>
  readonly #packKey: Uint8Array | undefined
  #session: SessionId
  #signal: AbortSignal | undefined
  readonly #running = new Set<Promise<void>>()
  #stored: IndexedPack[] = []
  #storedEntries = 0
  readonly #packsPerSegment: number
  #segments = 0
  #segmentWrite: Promise<void> = Promise.resolve()
  #failure: unknown
  #bytesStored = 0

  /** @param packKey key of all packs of the repository, undefined in one without encryption. */
  constructor(
    objects: SealedStore<WritableStore>,
    packKey: Uint8Array | undefined,
    session: SessionId,
    signal: AbortSignal,
    packsPerSegment: number = PACKS_PER_INDEX_SEGMENT,
  ) {
    this.#objects = objects
    this.#packKey = packKey
    this.#session = session
    this.#packsPerSegment = packsPerSegment
    this.#signal = signal
  }

  /** Bytes of packs and index segments stored so far. */
  get bytesStored(): number {
    return this.#bytesStored
  }

  /**
   * Stores a pack. Its directory is read back from its own bytes first: a pack that could not be read is never
   * written. Resolves when the pack is durable.
   *
   * @throws ERR_CORRUPT_PACK, and what the store throws.
   */
  async put(id: PackId, file: Uint8Array): Promise<void> {
    const entries = this.#verified(id, file)
    while (this.#running.size >= CONCURRENCY) await Promise.race(this.#running)
    const put = this.#put({ id, salt: saltOfHeader(file).slice(), fileBytes: file.length, entries }, file)
    const settled = put.catch(() => undefined).finally(() => this.#running.delete(settled))
    this.#running.add(settled)
    await put
  }

  /** What is stored from now on is listed by another session; nothing is unfinished when this is called. */
  continueAs(session: SessionId): void {
    assert(this.#stored.length === 0 && this.#running.size === 0, 'a session ends with packs under way')
    this.#session = session
    this.#segments = 0
  }

  /** Lists a pack that is in the store already. Its entries are the caller's to have checked. */
  list(pack: IndexedPack): void {
    if (this.#storedEntries + pack.entries.length > ENTRIES_PER_INDEX_SEGMENT) this.#writeSegment()
    this.#stored.push(pack)
    this.#storedEntries += pack.entries.length
    if (this.#stored.length >= this.#packsPerSegment) this.#writeSegment()
  }

  /**
   * Resolves when a put would not have to wait: whoever makes packs quicker than they are stored waits here.
   *
   * @throws the first failure of any put.
   */
  async room(): Promise<void> {
    while (this.#running.size >= CONCURRENCY) await Promise.race(this.#running)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Index segments of this session written, or about to be. */
  get segments(): number {
    return this.#segments
  }

  /** Waits for all puts and lists the packs that are not listed yet. @throws the first failure of any put. */
  async finish(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
    if (this.#failure !== undefined) throw this.#failure
    this.#writeSegment()
    await this.#segmentWrite
  }

  #verified(id: PackId, file: Uint8Array): IndexedPack['entries'] {
    try {
      assertPadding(file, packName(id), this.#packKey)
      return verifiedEntries(id, file, this.#packKey)
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }

  /**
   * After a failure: lists the packs that did arrive, so that the next backup finds them. A failure of this is of
   * no consequence; such packs are then stored again.
   */
  async salvage(): Promise<void> {
    await Promise.allSettled(this.#running)
    this.#signal = undefined
    try {
      this.#writeSegment()
      await this.#segmentWrite
    } catch {
      // The failure that led here is the one to report.
    }
  }

  async #put(pack: IndexedPack, file: Uint8Array): Promise<void> {
    try {
      const name = packName(pack.id)
      await this.#objects.store.putIfAbsent(name, [file], this.#callOptions)
      this.#bytesStored += file.length
      this.list(pack)
    } catch (error) {
      this.#failure ??= error
      throw error
    }
  }

  get #callOptions(): StoreCallOptions {
    return this.#signal === undefined ? {} : { signal: this.#signal }
  }

  #writeSegment(): void {
    if (this.#stored.length === 0) return
    const packs = this.#stored
    this.#stored = []
    this.#storedEntries = 0
    const name = indexSegmentName(this.#session, this.#segments++)
    const { records } = this.#objects
    const parts = encodeIndexSegment(name, packs, records)
    // What could not be read again is never written.
    decodeIndexSegment(name, Buffer.concat(parts), records)
    const write = async (): Promise<void> => {
      if ((await this.#objects.store.putIfAbsent(name, parts, this.#callOptions)) === 'exists') {
        throw new PlatterError('ERR_STORE_IO', `The object ${name} exists although this session is new.`, {
          object: name,
        })
      }
      this.#bytesStored += parts.reduce((sum, part) => sum + part.length, 0)
    }
    this.#segmentWrite = this.#segmentWrite.then(write)
    this.#segmentWrite.catch((error: unknown) => {
      this.#failure ??= error
    })
  }
}

/** Entries of a pack in memory, as a reader would find them; their ids are copies. */
export function verifiedEntries(
  id: PackId,
  file: Uint8Array,
  packKey: Uint8Array | undefined,
): ReturnType<typeof readPackDirectory> {
  const name = packName(id)
  const header = file.subarray(0, PACK_HEADER_BYTES)
  const trailer = file.subarray(Math.max(0, file.length - PACK_TRAILER_BYTES))
  const { directoryOffset } = readPackTrailer(header, trailer, file.length, name, packKey)
  return readPackDirectory(header, file.slice(directoryOffset), file.length, name, packKey)
}
