import { encodeRecord, PlatterError, RECORD_TYPE, RecordReader, type RecordSealer } from '@platter/core'

const VERSION = 1

/** What a writer says of itself: when it begins, at every sign of life, and when it gives up. */
export interface SessionRecord {
  /** Newest generation of garbage collection that it knew before it read the index. */
  readonly generation: number
  /** When it was written, in milliseconds since 1970 by the writer's clock; undefined where it does not say. */
  readonly timeMillis: number | undefined
  /** The writer has given up and will never commit. */
  readonly ended: boolean
}

export function encodeSession(name: string, session: SessionRecord, records: RecordSealer): Uint8Array[] {
  const { generation, timeMillis, ended } = session
  return records.seal(
    RECORD_TYPE.session,
    name,
    encodeRecord({
      version: VERSION,
      generation,
      ...(timeMillis === undefined ? {} : { time: timeMillis }),
      ...(ended ? { ended } : {}),
    }),
  )
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeSession(name: string, bytes: Uint8Array, records: RecordSealer): SessionRecord {
  const record = RecordReader.decode(records.open(RECORD_TYPE.session, name, bytes), `session record ${name}`)
  assertRecordVersion(record, name, VERSION)
  return {
    generation: record.integer('generation'),
    timeMillis: record.has('time') ? record.integer('time') : undefined,
    ended: record.has('ended') && record.boolean('ended'),
  }
}

/** @throws ERR_UNSUPPORTED_VERSION when a record is of another version than the one its reader knows. */
export function assertRecordVersion(record: RecordReader, name: string, expected: number): void {
  const actual = record.integer('version')
  if (actual === expected) return
  throw new PlatterError(
    'ERR_UNSUPPORTED_VERSION',
    `The object ${name} has record version ${actual}; use a newer Platter.`,
    { object: name, expected, actual },
  )
}
