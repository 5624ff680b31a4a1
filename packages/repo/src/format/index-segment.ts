import {
  HASH_BYTES,
  type PackId,
  PlatterError,
  packIdFrom,
  RECORD_TYPE,
  type RecordSealer,
  type SuiteNumber,
} from '@platter/core'
import { BLOB_ENTRY_BYTES, type BlobEntry, readBlobEntry, writeBlobEntry } from './blob-entry.ts'
import { MAX_PACK_FILE_BYTES } from './limits.ts'
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
  /** The entry numbered `i`, its pack as an index into `packs`. */
  entry(i: number): BlobEntry & { readonly pack: number }
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
  const idsAt = HEAD_BYTES + packCount * PACK_BYTES
  const numbersAt = idsAt + entryCount * HASH_BYTES
  const placesAt = numbersAt + entryCount * 4
  if (payload.length !== placesAt + entryCount * PLACE_BYTES)
    throw new RangeError('its counts do not fit its length.')
  const packs = Array.from({ length: packCount }, (_, i) => {
    const at = HEAD_BYTES + i * PACK_BYTES
    const fileBytes = view.getUint32(at + LENGTHS_AT, true)
    const entryCount = view.getUint32(at + LENGTHS_AT + 4, true)
    if (fileBytes > MAX_PACK_FILE_BYTES || fileBytes < PACK_HEADER_BYTES + packEndBytes(entryCount, suite)) {
      throw new RangeError('it lists an impossible pack.')
    }
    // A copy: the index outlives the segment.
    const salt = payload.slice(at + SALT_AT, at + SALT_AT + PACK_SALT_BYTES)
    return { id: packIdFrom(payload.subarray(at, at + HASH_BYTES)), salt, fileBytes, entryCount }
  })
  const ids = payload.subarray(idsAt, numbersAt)
  assertAscending(ids)
  const scratch = new Uint8Array(BLOB_ENTRY_BYTES)
  const scratchView = new DataView(scratch.buffer)
  return {
    packs,
    entryCount,
    ids,
    entry(i) {
      const number = view.getUint32(numbersAt + i * 4, true)
      const pack = packs[number]
      if (pack === undefined)
        throw new PlatterError(
          'ERR_CORRUPT_INDEX',
          `The index segment ${name} has an entry, number ${i}, of a pack it does not list.`,
          { object: name },
        )
      scratch.set(payload.subarray(placesAt + i * PLACE_BYTES, placesAt + (i + 1) * PLACE_BYTES), HASH_BYTES)
      const blobs = {
        start: PACK_HEADER_BYTES,
        end: pack.fileBytes - packEndBytes(pack.entryCount, suite),
        suite,
      }
      const id = ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
      try {
        return { ...readBlobEntry(scratchView, 0, blobs), id, pack: number }
      } catch (cause) {
        throw new PlatterError(
          'ERR_CORRUPT_INDEX',
          `The index segment ${name} has an impossible entry, number ${i}.`,
          { object: name, cause },
        )
      }
    },
  }
}

/** An id may occur more than once: the blob is then stored more than once. */
function assertAscending(ids: Uint8Array): void {
  const all = Buffer.from(ids.buffer, ids.byteOffset, ids.length)
  for (let at = HASH_BYTES; at < all.length; at += HASH_BYTES) {
    if (all.compare(all, at, at + HASH_BYTES, at - HASH_BYTES, at) > 0)
      throw new RangeError(`its ids do not ascend, at number ${at / HASH_BYTES}.`)
  }
}
