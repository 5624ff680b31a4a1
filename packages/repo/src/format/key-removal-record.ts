import {
  encodeRecord,
  type KeySlotId,
  PlatterError,
  parseKeySlotId,
  RECORD_TYPE,
  RecordReader,
  type RecordSealer,
} from '@platter/core'
import { assertRecordVersion } from './session-record.ts'

const VERSION = 1

/** `key-removals/<n>`: the key slot that is removed. */
export function encodeKeyRemoval(name: string, slot: KeySlotId, records: RecordSealer): Uint8Array[] {
  return records.seal(RECORD_TYPE.keyRemoval, name, encodeRecord({ version: VERSION, slot }))
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeKeyRemoval(name: string, bytes: Uint8Array, records: RecordSealer): KeySlotId {
  const record = RecordReader.decode(records.open(RECORD_TYPE.keyRemoval, name, bytes), `record ${name}`)
  assertRecordVersion(record, name, VERSION)
  try {
    return parseKeySlotId(record.string('slot', 32))
  } catch (cause) {
    throw new PlatterError('ERR_CORRUPT_RECORD', `The object ${name} names a key slot that is none.`, {
      object: name,
      cause,
    })
  }
}
