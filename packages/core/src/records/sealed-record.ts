import { SUITE, type SuiteNumber } from '../crypto/suite.ts'
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
  keySlot: 7
  mark: 8
  sweep: 9
  done: 10
  damage: 16
  quarantine: 17
  keyRemoval: 18
  pin: 32
}> = Object.freeze({
  config: 1,
  session: 2,
  index: 3,
  snapshot: 4,
  fence: 5,
  forget: 6,
  keySlot: 7,
  mark: 8,
  sweep: 9,
  done: 10,
  damage: 16,
  quarantine: 17,
  keyRemoval: 18,
  pin: 32,
})
export type RecordType = (typeof RECORD_TYPE)[keyof typeof RECORD_TYPE]

const MAGIC = 0x52544c50 // 'PLTR', little-endian
const VERSION = 1

/** Length of the header in front of every record. */
export const RECORD_HEADER_BYTES = 16

/** Bytes a sealed record is longer than its payload. */
export const RECORD_OVERHEAD_BYTES: number = RECORD_HEADER_BYTES + HASH_BYTES

/**
 * Seals a record: header, payload, and a BLAKE3-256 over the object's name, the header and the payload, so that
 * no record can stand in for another and no altered one is believed (docs/format.md, Records).
 */
export function sealRecord(type: RecordType, name: string, payload: Uint8Array): Uint8Array[] {
  const header = recordHeader(type, SUITE.none, payload.length)
  return [header, payload, checksum(name, header, payload)]
}

/** Header of a record whose payload has `payloadBytes` before it is encrypted. */
export function recordHeader(type: RecordType, suite: SuiteNumber, payloadBytes: number): Uint8Array {
  const header = new Uint8Array(RECORD_HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, VERSION)
  view.setUint8(5, type)
  view.setUint8(6, suite)
  view.setUint32(8, payloadBytes, true)
  return header
}

/**
 * Opens what {@link sealRecord} made and gives a view of its payload.
 *
 * @throws ERR_UNSUPPORTED_VERSION for a record of a later version, ERR_CORRUPT_RECORD for anything altered, cut
 * short, or of another type or name.
 */
export function openRecord(type: RecordType, name: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length < RECORD_OVERHEAD_BYTES) throw corruptRecord(name, 'is cut short')
  const header = bytes.subarray(0, RECORD_HEADER_BYTES)
  assertRecordMagic(header, name)
  const payload = bytes.subarray(RECORD_HEADER_BYTES, bytes.length - HASH_BYTES)
  const sum = bytes.subarray(bytes.length - HASH_BYTES)
  if (Buffer.compare(sum, checksum(name, header, payload)) !== 0)
    throw corruptRecord(name, 'was altered: its checksum does not fit')
  assertRecordHeader(header, { type, suite: SUITE.none, payloadBytes: payload.length }, name)
  return payload
}

/** @throws ERR_CORRUPT_RECORD when it is no record at all. */
export function assertRecordMagic(header: Uint8Array, name: string): void {
  if (viewOf(header).getUint32(0, true) !== MAGIC) throw corruptRecord(name, 'is not a record of Platter')
}

/** The suite a record says it is protected with. */
export function suiteOfRecord(header: Uint8Array): number {
  return viewOf(header).getUint8(6)
}

/**
 * Checks a header that is known to be as it was written.
 *
 * @throws ERR_UNSUPPORTED_VERSION, ERR_CORRUPT_RECORD
 */
export function assertRecordHeader(
  header: Uint8Array,
  expected: { readonly type: RecordType; readonly suite: SuiteNumber; readonly payloadBytes: number },
  name: string,
): void {
  const view = viewOf(header)
  if (view.getUint8(4) !== VERSION || view.getUint8(6) !== expected.suite) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The object ${name} was written by a later version of Platter; use that version or a newer one.`,
      { object: name, expected: VERSION, actual: view.getUint8(4) },
    )
  }
  if (view.getUint32(8, true) !== expected.payloadBytes)
    throw corruptRecord(name, 'declares another length than it has')
  if (view.getUint8(5) !== expected.type) throw corruptRecord(name, 'is a record of another type')
}

/** An ERR_CORRUPT_RECORD that names the object. */
export function corruptRecord(name: string, problem: string): PlatterError {
  return new PlatterError('ERR_CORRUPT_RECORD', `The object ${name} ${problem}.`, { object: name })
}

function viewOf(header: Uint8Array): DataView {
  return new DataView(header.buffer, header.byteOffset, header.length)
}

const hasher = createHasher()

function checksum(name: string, header: Uint8Array, payload: Uint8Array): Uint8Array {
  const nameBytes = Buffer.from(name, 'ascii')
  const nameLength = new Uint8Array([nameBytes.length])
  return hasher.hashParts([nameLength, nameBytes, header, payload])
}
