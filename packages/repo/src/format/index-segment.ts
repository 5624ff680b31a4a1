import {
  HASH_BYTES,
  type PackId,
  PlatterError,
  packIdFrom,
  RECORD_TYPE,
  type RecordSealer,
  type SuiteNumber,
} from '@platter/core'
import {
  assertBlobPlace,
  BLOB_ENTRY_BYTES,
  type BlobEntry,
  readBlobPlace,
  writeBlobEntry,
} from './blob-entry.ts'
import {
  MAX_INDEX_SEGMENT_BYTES,
  MAX_INDEX_SEGMENT_PACKS,
  MAX_PACK_ENTRIES,
  MAX_PACK_FILE_BYTES,
} from './limits.ts'
import { sealOverheadBytes } from './pack-cipher.ts'
import { PACK_HEADER_BYTES, PACK_SALT_BYTES, packEndBytes } from './pack-file.ts'

/** A pack as an index segment lists it. */
export interface IndexedPack {
  readonly id: PackId
  /** The pack's 32 random bytes: with them blobs can be opened without reading the pack's header. */
  readonly salt: Uint8Array
  readonly fileBytes: number
  readonly entries: readonly BlobEntry[]
}

/** A pack as a decoded index segment lists it. */
export interface ListedPack extends Omit<IndexedPack, 'entries'> {
  readonly entryCount: number
}

/** A decoded index segment: packs, and all their entries sorted by id. */
export interface IndexSegment {
  readonly packs: readonly ListedPack[]
  readonly entryCount: number
  /** 32 bytes of id for each entry, one after the other, ascending. */
  readonly ids: Uint8Array
  /** The entry numbered `i`, its pack as an index into `packs`. @throws ERR_CORRUPT_INDEX when it is impossible. */
  entry(i: number): BlobEntry & { readonly pack: number }
  /**
   * Writes where all blobs are, for each entry four numbers: `firstPack` and its pack as an index into `packs`, offset,
   * stored length, and {@link packedKind}.
   *
   * @param into room for all of them, from its beginning.
   * @throws ERR_CORRUPT_INDEX when an entry is impossible.
   */
  copyPlaces(into: Uint32Array, firstPack: number): void
}

/** Raw length, codec and type of a blob in one number of 32 bits: 24, 4 and 4 of them from the lowest up. */
export function packedKind(rawBytes: number, codec: number, type: number): number {
  return (rawBytes | (codec << 24) | (type << 28)) >>> 0
}

const HEAD_BYTES = 16
const SALT_AT = HASH_BYTES
const LENGTHS_AT = HASH_BYTES + PACK_SALT_BYTES
const PACK_BYTES = LENGTHS_AT + 8

/**
 * Encodes an index segment: head (entry count 4, pack count 4, reserved 8); packs (id 32, salt 32, file length
 * 4, entry count 4); ids (32 each, ascending); pack number of each entry (4); the rest of each blob entry (16).
 */
export function encodeIndexSegment(
  name: string,
  packs: readonly IndexedPack[],
  records: RecordSealer,
): Uint8Array[] {
  const rows = packs.flatMap((pack, number) => pack.entries.map((entry) => ({ entry, number })))
  rows.sort((a, b) => Buffer.compare(a.entry.id, b.entry.id))
  const idsAt = HEAD_BYTES + packs.length * PACK_BYTES
  const numbersAt = idsAt + rows.length * HASH_BYTES
  const placesAt = numbersAt + rows.length * 4
  const payload = new Uint8Array(placesAt + rows.length * PLACE_BYTES)
  const view = new DataView(payload.buffer)
  view.setUint32(0, rows.length, true)
  view.setUint32(4, packs.length, true)
  packs.forEach((pack, i) => {
    const at = HEAD_BYTES + i * PACK_BYTES
    payload.set(Buffer.from(pack.id, 'hex'), at)
    payload.set(pack.salt, at + SALT_AT)
    view.setUint32(at + LENGTHS_AT, pack.fileBytes, true)
    view.setUint32(at + LENGTHS_AT + 4, pack.entries.length, true)
  })
  const scratch = new Uint8Array(BLOB_ENTRY_BYTES)
  const scratchView = new DataView(scratch.buffer)
  rows.forEach(({ entry, number }, i) => {
    writeBlobEntry(scratchView, 0, entry)
    payload.set(entry.id, idsAt + i * HASH_BYTES)
    view.setUint32(numbersAt + i * 4, number, true)
    payload.set(scratch.subarray(HASH_BYTES), placesAt + i * PLACE_BYTES)
  })
  return records.seal(RECORD_TYPE.index, name, payload)
}

const PLACE_BYTES = BLOB_ENTRY_BYTES - HASH_BYTES

/**
 * Decodes an index segment and checks every length and order in it.
 *
 * @throws ERR_CORRUPT_INDEX, ERR_UNSUPPORTED_VERSION
 */
export function decodeIndexSegment(name: string, bytes: Uint8Array, records: RecordSealer): IndexSegment {
  try {
    if (bytes.length > MAX_INDEX_SEGMENT_BYTES) throw new RangeError('it is longer than any may be.')
    return decodePayload(name, records.open(RECORD_TYPE.index, name, bytes), records.suite)
  } catch (cause) {
    if (PlatterError.is(cause, 'ERR_UNSUPPORTED_VERSION')) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlatterError('ERR_CORRUPT_INDEX', `The index segment ${name} cannot be used: ${why}`, {
      object: name,
      cause,
    })
  }
}

function decodePayload(name: string, payload: Uint8Array, suite: SuiteNumber): IndexSegment {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const entryCount = view.getUint32(0, true)
  const packCount = view.getUint32(4, true)
  if (packCount > MAX_INDEX_SEGMENT_PACKS) throw new RangeError('it lists more packs than any may.')
  const idsAt = HEAD_BYTES + packCount * PACK_BYTES
  const numbersAt = idsAt + entryCount * HASH_BYTES
  const placesAt = numbersAt + entryCount * 4
  if (payload.length !== placesAt + entryCount * PLACE_BYTES)
    throw new RangeError('its counts do not fit its length.')
  const packs = Array.from({ length: packCount }, (_, i) => {
    const at = HEAD_BYTES + i * PACK_BYTES
    const fileBytes = view.getUint32(at + LENGTHS_AT, true)
    const entryCount = view.getUint32(at + LENGTHS_AT + 4, true)
    const isPossible =
      entryCount <= MAX_PACK_ENTRIES &&
      fileBytes <= MAX_PACK_FILE_BYTES &&
      fileBytes >= PACK_HEADER_BYTES + packEndBytes(entryCount, suite)
    if (!isPossible) throw new RangeError('it lists an impossible pack.')
    // A copy: the index outlives the segment.
    const salt = payload.slice(at + SALT_AT, at + SALT_AT + PACK_SALT_BYTES)
    return { id: packIdFrom(payload.subarray(at, at + HASH_BYTES)), salt, fileBytes, entryCount }
  })
  assertAscending(payload.subarray(idsAt, numbersAt))
  return new DecodedSegment(name, suite, packs, payload, { entryCount, idsAt, numbersAt, placesAt })
}

/** Where the columns of a segment's payload begin. */
interface Columns {
  readonly entryCount: number
  readonly idsAt: number
  readonly numbersAt: number
  readonly placesAt: number
}

class DecodedSegment implements IndexSegment {
  readonly packs: readonly ListedPack[]
  readonly entryCount: number
  readonly ids: Uint8Array
  readonly #name: string
  readonly #suite: SuiteNumber
  readonly #view: DataView
  readonly #columns: Columns

  constructor(
    name: string,
    suite: SuiteNumber,
    packs: readonly ListedPack[],
    payload: Uint8Array,
    columns: Columns,
  ) {
    this.#name = name
    this.#suite = suite
    this.packs = packs
    this.entryCount = columns.entryCount
    this.ids = payload.subarray(columns.idsAt, columns.numbersAt)
    this.#view = new DataView(payload.buffer, payload.byteOffset, payload.length)
    this.#columns = columns
  }

  entry(i: number): BlobEntry & { readonly pack: number } {
    const pack = this.#view.getUint32(this.#columns.numbersAt + i * 4, true)
    const listed = this.packs[pack]
    if (listed === undefined) throw this.#impossible(i)
    const blobs = { start: PACK_HEADER_BYTES, end: this.#blobsEnd(listed), suite: this.#suite }
    const id = this.ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
    try {
      return { ...readBlobPlace(this.#view, this.#columns.placesAt + i * PLACE_BYTES, blobs), id, pack }
    } catch (cause) {
      throw this.#impossible(i, cause)
    }
  }

  // This is done for every entry of the index whenever a repository is opened: no object for each.
  copyPlaces(into: Uint32Array, firstPack: number): void {
    const { entryCount, numbersAt, placesAt } = this.#columns
    const view = this.#view
    const ends = Float64Array.from(this.packs, (pack) => this.#blobsEnd(pack))
    const sealBytes = sealOverheadBytes(this.#suite)
    for (let i = 0; i < entryCount; i++) {
      const pack = view.getUint32(numbersAt + i * 4, true)
      if (pack >= ends.length) throw this.#impossible(i)
      const at = placesAt + i * PLACE_BYTES
      const offset = view.getUint32(at, true)
      const storedBytes = view.getUint32(at + 4, true)
      const rawBytes = view.getUint32(at + 8, true)
      const tail = view.getUint32(at + 12, true)
      try {
        assertBlobPlace(offset, storedBytes, rawBytes, tail, PACK_HEADER_BYTES, ends[pack]!, sealBytes)
      } catch (cause) {
        throw this.#impossible(i, cause)
      }
      const to = i * 4
      into[to] = firstPack + pack
      into[to + 1] = offset
      into[to + 2] = storedBytes
      into[to + 3] = packedKind(rawBytes, tail & 0xff, tail >>> 8)
    }
  }

  /** Where the blobs of a pack have to have ended. */
  #blobsEnd({ fileBytes, entryCount }: ListedPack): number {
    return fileBytes - packEndBytes(entryCount, this.#suite)
  }

  #impossible(i: number, cause?: unknown): PlatterError {
    const what = cause === undefined ? 'an entry of a pack it does not list' : 'an impossible entry'
    return new PlatterError(
      'ERR_CORRUPT_INDEX',
      `The index segment ${this.#name} has ${what}, number ${i}.`,
      { object: this.#name, ...(cause === undefined ? {} : { cause }) },
    )
  }
}

/**
 * An id may occur more than once: the blob is then stored more than once. Ids are hashes, so the first four bytes nearly
 * always decide.
 */
function assertAscending(ids: Uint8Array): void {
  const view = new DataView(ids.buffer, ids.byteOffset, ids.length)
  for (let at = HASH_BYTES; at < ids.length; at += HASH_BYTES) {
    const [before, here] = [view.getUint32(at - HASH_BYTES), view.getUint32(at)]
    if (before < here) continue
    const [a, b] = [ids.subarray(at - HASH_BYTES, at), ids.subarray(at, at + HASH_BYTES)]
    if (before > here || Buffer.compare(a, b) > 0)
      throw new RangeError(`its ids do not ascend, at number ${at / HASH_BYTES}.`)
  }
}
