import { SUITE, type SuiteNumber } from '../crypto/suite.ts'
import { openRecord, type RecordType, sealRecord } from './sealed-record.ts'

/** Seals and opens the records of one repository. Pure: the same object serves any number of calls at once. */
export interface RecordSealer {
  /** How the records, and all else of the repository, are protected. */
  readonly suite: SuiteNumber
  /**
   * The parts of the object to store.
   *
   * @param name of the object; a record cannot stand in for another.
   */
  seal(type: RecordType, name: string, payload: Uint8Array): Uint8Array[]
  /**
   * The payload, checked.
   *
   * @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION
   */
  open(type: RecordType, name: string, bytes: Uint8Array): Uint8Array
}

/** Records anyone can read, protected against damage only. */
export const plainRecords: RecordSealer = Object.freeze({
  suite: SUITE.none,
  seal: sealRecord,
  open: openRecord,
})
