import { PlatterError } from '../errors.ts'
import { createHasher } from '../hashing/blake3.ts'
import { HASH_BYTES } from '../ids.ts'

/** Kinds of record. The number stands in the format. */
export const RECORD_TYPE: Readonly<{
  config: 1
  session: 2
  index: 3
  snapshot: 4
  fence: 5
  forget: 6
  mark: 7
  sweep: 8
  done: 9
}> = Object.freeze({
  config: 1,
  session: 2,
  index: 3,
  snapshot: 4,
  fence: 5,
  forget: 6,
  mark: 7,
  sweep: 8,
  done: 9,
})
export type RecordType = (typeof RECORD_TYPE)[keyof typeof RECORD_TYPE]

/** How an object is protected: 0 is plaintext with a checksum. */
export const SUITE_NONE = 0

const MAGIC = 0x52544c50 // 'PLTR', little-endian
const VERSION = 1
const HEADER_BYTES = 16

/** Bytes a sealed record is longer than its payload. */
export const RECORD_OVERHEAD_BYTES: number = HEADER_BYTES + HASH_BYTES

/**
 * Seals a record: header, payload, and a BLAKE3-256 over the object's name, the header and the payload, so that
 * no record can stand in for another and no altered one is believed (docs/format.md, Records).
 */
export function sealRecord(type: RecordType, name: string, payload: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, VERSION)
  view.setUint8(5, type)
  view.setUint8(6, SUITE_NONE)
  view.setUint32(8, payload.length, true)
  return [header, payload, checksum(name, header, payload)]
}

/**
 * Opens what {@link sealRecord} made and gives a view of its payload.
 *
 * @throws ERR_UNSUPPORTED_VERSION for a record of a later version, ERR_CORRUPT_RECORD for anything altered, cut
 * short, or of another type or name.
 */
export function openRecord(type: RecordType, name: string, bytes: Uint8Array): Uint8Array {
  const corrupt = (problem: string): PlatterError =>
    new PlatterError('ERR_CORRUPT_RECORD', `The object ${name} ${problem}.`, { object: name })
  if (bytes.length < RECORD_OVERHEAD_BYTES) throw corrupt('is cut short')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC) throw corrupt('is not a record of Platter')
  const header = bytes.subarray(0, HEADER_BYTES)
  const payload = bytes.subarray(HEADER_BYTES, bytes.length - HASH_BYTES)
  const sum = bytes.subarray(bytes.length - HASH_BYTES)
  if (Buffer.compare(sum, checksum(name, header, payload)) !== 0)
    throw corrupt('was altered: its checksum does not fit')
  if (view.getUint8(4) !== VERSION || view.getUint8(6) !== SUITE_NONE) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The object ${name} was written by a later version of Platter; use that version or a newer one.`,
      { object: name, expected: VERSION, actual: view.getUint8(4) },
    )
  }
  if (view.getUint32(8, true) !== payload.length) throw corrupt('declares another length than it has')
  if (view.getUint8(5) !== type) throw corrupt('is a record of another type')
  return payload
}

const hasher = createHasher()

function checksum(name: string, header: Uint8Array, payload: Uint8Array): Uint8Array {
  const nameBytes = Buffer.from(name, 'ascii')
  const nameLength = new Uint8Array([nameBytes.length])
  return hasher.hashParts([nameLength, nameBytes, header, payload])
}
