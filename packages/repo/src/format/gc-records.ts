import {
  encodeRecord,
  HASH_BYTES,
  idBytes,
  type PackId,
  PlatterError,
  packIdFrom,
  parseSessionId,
  RECORD_TYPE,
  RecordReader,
  type RecordSealer,
  type SessionId,
} from '@platter/core'
import { MAX_CONDEMNED_PACKS, MAX_REPLACED_SEGMENTS } from './limits.ts'
import { gcName, indexSessionOfName, snapshotName } from './object-names.ts'
import { assertRecordVersion } from './session-record.ts'

const VERSION = 1
/** Open sessions that a mark remembers. */
const MAX_SESSIONS = 10_000

/** A session without a commit, as a collector saw it. */
export interface ObservedSession {
  readonly session: SessionId
  /** Number of its newest record: a writer that is alive counts on. */
  readonly intent: number
}

/** `gc/<n>.mark`: begins a generation. */
export interface MarkRecord {
  /** Packs that may go, and that no writer of this generation may rely on. */
  readonly condemned: readonly PackId[]
  /** Packs that no index segment listed and that were not condemned, because a session still open may own them. */
  readonly unlisted: readonly PackId[]
  readonly openSessions: readonly ObservedSession[]
  /** When it was written, in milliseconds since 1970 by the collector's clock. */
  readonly timeMillis: number
}

/** Why a pack was removed. */
export type RemovalReason =
  /** Nothing in it belonged to a snapshot. */
  | 'unreferenced'
  /** What belonged to a snapshot was stored again elsewhere. */
  | 'repacked'
  /** No index segment listed it, and its writer was gone. */
  | 'unlisted'

export const REMOVAL_REASONS: readonly RemovalReason[] = Object.freeze([
  'unreferenced',
  'repacked',
  'unlisted',
])

/** `gc/<n>.sweep`: what really goes, and why. Whoever creates it decides; all others do as it says. */
export interface SweepRecord {
  /** Session under which the collector stored what replaces what goes; this record is its commit. */
  readonly session: SessionId | undefined
  readonly packs: Readonly<Record<RemovalReason, readonly PackId[]>>
  /** Names of index segments that go; what they list and stays is listed by segments of `session`. */
  readonly segments: readonly string[]
}

/** `gc/<n>.done`: everything the sweep names is gone. */
export interface DoneRecord {
  readonly packs: number
  readonly segments: number
}

/** A fence: the session of this id cannot commit any more. */
export interface FenceRecord {
  /** Set when the session is a collector's; the sweep of that generation may be its commit. */
  readonly collectorOf: number | undefined
}

export function encodeMark(generation: number, mark: MarkRecord, records: RecordSealer): Uint8Array[] {
  const payload = encodeRecord({
    version: VERSION,
    condemned: mark.condemned.map(idBytes),
    unlisted: mark.unlisted.slice(0, MAX_CONDEMNED_PACKS).map(idBytes),
    openSessions: mark.openSessions
      .slice(0, MAX_SESSIONS)
      .map(({ session, intent }) => ({ session, intent })),
    time: mark.timeMillis,
  })
  return records.seal(RECORD_TYPE.mark, gcName(generation, 'mark'), payload)
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeMark(generation: number, bytes: Uint8Array, records: RecordSealer): MarkRecord {
  const name = gcName(generation, 'mark')
  const record = opened(RECORD_TYPE.mark, name, bytes, records)
  return {
    condemned: packIds(record, 'condemned', name),
    unlisted: packIds(record, 'unlisted', name),
    openSessions: record.records('openSessions', MAX_SESSIONS).map((session) => ({
      session: sessionIdIn(session, name),
      intent: session.integer('intent'),
    })),
    timeMillis: record.integer('time'),
  }
}

export function encodeSweep(generation: number, sweep: SweepRecord, records: RecordSealer): Uint8Array[] {
  const { unreferenced, repacked, unlisted } = sweep.packs
  const payload = encodeRecord({
    version: VERSION,
    session: sweep.session ?? null,
    unreferenced: unreferenced.map(idBytes),
    repacked: repacked.map(idBytes),
    unlisted: unlisted.map(idBytes),
    segments: [...sweep.segments],
  })
  return records.seal(RECORD_TYPE.sweep, gcName(generation, 'sweep'), payload)
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeSweep(generation: number, bytes: Uint8Array, records: RecordSealer): SweepRecord {
  const name = gcName(generation, 'sweep')
  const record = opened(RECORD_TYPE.sweep, name, bytes, records)
  const segments = record.strings('segments', MAX_REPLACED_SEGMENTS)
  // What a collector deletes by name must be what it thinks it is.
  if (!segments.every((segment) => indexSessionOfName(segment) !== undefined))
    throw corrupt(name, 'names a segment that is none')
  return {
    session: record.isNull('session') ? undefined : sessionIdIn(record, name),
    packs: {
      unreferenced: packIds(record, 'unreferenced', name),
      repacked: packIds(record, 'repacked', name),
      unlisted: packIds(record, 'unlisted', name),
    },
    segments,
  }
}

export function encodeDone(generation: number, done: DoneRecord, records: RecordSealer): Uint8Array[] {
  const payload = encodeRecord({ version: VERSION, packs: done.packs, segments: done.segments })
  return records.seal(RECORD_TYPE.done, gcName(generation, 'done'), payload)
}

export function encodeFence(session: SessionId, fence: FenceRecord, records: RecordSealer): Uint8Array[] {
  const { collectorOf } = fence
  const payload = encodeRecord({ version: VERSION, ...(collectorOf === undefined ? {} : { collectorOf }) })
  return records.seal(RECORD_TYPE.fence, snapshotName(session), payload)
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeFence(session: SessionId, bytes: Uint8Array, records: RecordSealer): FenceRecord {
  const record = opened(RECORD_TYPE.fence, snapshotName(session), bytes, records)
  return { collectorOf: record.has('collectorOf') ? record.integer('collectorOf', 1) : undefined }
}

function opened(
  type: (typeof RECORD_TYPE)['mark' | 'sweep' | 'fence'],
  name: string,
  bytes: Uint8Array,
  records: RecordSealer,
): RecordReader {
  const record = RecordReader.decode(records.open(type, name, bytes), `record ${name}`)
  assertRecordVersion(record, name, VERSION)
  return record
}

function sessionIdIn(record: RecordReader, name: string): SessionId {
  const text = record.string('session', 32)
  try {
    return parseSessionId(text)
  } catch (cause) {
    throw corrupt(name, 'names a session that is none', cause)
  }
}

function packIds(record: RecordReader, field: string, name: string): PackId[] {
  return record.list(field, MAX_CONDEMNED_PACKS).map((item) => {
    if (!(item instanceof Uint8Array) || item.length !== HASH_BYTES)
      throw corrupt(name, `has a field '${field}' with something that is no pack id`)
    return packIdFrom(item)
  })
}

function corrupt(name: string, problem: string, cause?: unknown): PlatterError {
  return new PlatterError('ERR_CORRUPT_RECORD', `The object ${name} ${problem}.`, { object: name, cause })
}
