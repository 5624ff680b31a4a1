import { Packr } from 'msgpackr'
import { PlatterError } from '../errors.ts'
import { assertMessagePack } from './msgpack-bounds.ts'

/** What records are made of: plain MessagePack without extensions. */
export type RecordValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly RecordValue[]
  | { readonly [key: string]: RecordValue }

// Integers above 2^32 become float64, which holds every integer up to 2^53 exactly.
const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  mapsAsObjects: true,
  int64AsType: 'number',
})

/** Encodes a record as MessagePack: maps with string keys, no extensions. */
export function encodeRecord(value: RecordValue): Uint8Array {
  return new Uint8Array(packr.pack(value))
}

/**
 * Decodes a record strictly: the whole input, bounded depth and lengths, no extensions.
 *
 * @throws ERR_CORRUPT_RECORD
 */
export function decodeRecord(bytes: Uint8Array): RecordValue {
  try {
    assertMessagePack(bytes)
    return packr.unpack(bytes) as RecordValue
  } catch (cause) {
    throw new PlatterError('ERR_CORRUPT_RECORD', 'A record is not valid MessagePack.', { cause })
  }
}
