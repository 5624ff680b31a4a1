import {
  encodeRecord,
  HASH_BYTES,
  idBytes,
  PlatterError,
  parseRepositoryId,
  plainRecords,
  RANDOM_ID_BYTES,
  RECORD_TYPE,
  RecordReader,
  type RepositoryId,
} from '@platter/core'
import { MAX_FENCE_BYTES } from '../format/limits.ts'
import {
  forgottenIdOfName,
  type GcStep,
  gcStepOfName,
  keySlotIdOfName,
  snapshotIdOfName,
} from '../format/object-names.ts'

/**
 * What an object is that a pin remembers. Of these only key slots are ever removed, and none comes back: their ids are
 * drawn at random.
 */
export type PinnedKind = 'snapshot' | 'fence' | 'tombstone' | GcStep | 'slot' | 'removed slot'

/** When an object was seen first, or its removal. */
export interface PinnedObject {
  readonly kind: PinnedKind
  /** Seconds since 1970, by the clock of the client that saw it. */
  readonly since: number
}

/** What a client has seen of a repository. */
export interface PinState {
  readonly repository: RepositoryId
  /** BLAKE3 of the object `config`. */
  readonly configHash: Uint8Array
  /** By the names of objects. */
  readonly objects: ReadonlyMap<string, PinnedObject>
}

/** What the object of a name is, if a pin remembers such; a fence is told from a snapshot by its length. */
export function pinnedKindOf(name: string, sizeBytes: number): PinnedKind | undefined {
  if (snapshotIdOfName(name) !== undefined) return sizeBytes <= MAX_FENCE_BYTES ? 'fence' : 'snapshot'
  if (forgottenIdOfName(name) !== undefined) return 'tombstone'
  if (keySlotIdOfName(name) !== undefined) return 'slot'
  return gcStepOfName(name)?.step
}

const VERSION = 1
/** Name under which the record is sealed; it never stands in a store. */
const PIN_NAME = 'pin'
/** Some three million objects. */
export const MAX_PIN_BYTES: number = 64 * 1024 * 1024
/** Kind (1), seconds (4), and the object's id, or the number of its generation (8) and zeros (16). */
const ROW_BYTES = 5 + RANDOM_ID_BYTES
/** The number of a kind stands in pins. */
const KINDS = [
  'snapshot',
  'fence',
  'tombstone',
  'mark',
  'sweep',
  'done',
  'slot',
  'removed slot',
] as const satisfies readonly PinnedKind[]

/** @throws ERR_LIMIT_EXCEEDED when there is more than a pin can hold. */
export function encodePin({ repository, configHash, objects }: PinState): Uint8Array {
  const rows = Buffer.alloc(objects.size * ROW_BYTES)
  let at = 0
  for (const [name, { kind, since }] of objects) {
    rows[at] = KINDS.indexOf(kind)
    rows.writeUInt32LE(since, at + 1)
    const step = gcStepOfName(name)
    if (step === undefined) rows.set(Buffer.from(name.slice(-2 * RANDOM_ID_BYTES), 'hex'), at + 5)
    else rows.writeBigUInt64LE(BigInt(step.generation), at + 5)
    at += ROW_BYTES
  }
  const fields = { version: VERSION, repository: idBytes(repository), config: configHash, objects: rows }
  const bytes = Buffer.concat(plainRecords.seal(RECORD_TYPE.pin, PIN_NAME, encodeRecord(fields)))
  if (bytes.length > MAX_PIN_BYTES) {
    throw new PlatterError(
      'ERR_LIMIT_EXCEEDED',
      `There are ${objects.size} snapshots and other objects to remember, more than a pin holds.`,
      { expected: MAX_PIN_BYTES, actual: bytes.length },
    )
  }
  return new Uint8Array(bytes)
}

/**
 * @param label of the pin, for messages.
 * @throws ERR_CORRUPT_PIN, ERR_UNSUPPORTED_VERSION
 */
export function decodePin(bytes: Uint8Array, label: string): PinState {
  try {
    const payload = plainRecords.open(RECORD_TYPE.pin, PIN_NAME, bytes)
    const record = RecordReader.decode(payload, 'pin')
    if (record.integer('version') !== VERSION)
      throw new PlatterError('ERR_UNSUPPORTED_VERSION', 'it was written by a later version of Platter.')
    return {
      repository: parseRepositoryId(Buffer.from(record.bytes('repository', RANDOM_ID_BYTES)).toString('hex')),
      configHash: record.bytes('config', HASH_BYTES),
      objects: decodeRows(record.byteString('objects', MAX_PIN_BYTES)),
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    const code = PlatterError.is(cause, 'ERR_UNSUPPORTED_VERSION') ? cause.code : 'ERR_CORRUPT_PIN'
    throw new PlatterError(
      code,
      `The pin ${label} cannot be used: ${why} Put a copy of it back; or, if you are sure that the repository is in its latest state, accept that anew.`,
      { path: label, cause },
    )
  }
}

function decodeRows(rows: Uint8Array): Map<string, PinnedObject> {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.length)
  const objects = new Map<string, PinnedObject>()
  if (rows.length % ROW_BYTES !== 0) throw new RangeError('its objects do not fit its length.')
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    const kind = KINDS[view.getUint8(at)]
    if (kind === undefined) throw new RangeError('it has an object of an unknown kind.')
    const id = rows.subarray(at + 5, at + ROW_BYTES)
    objects.set(nameOf(kind, id, view.getBigUint64(at + 5, true)), {
      kind,
      since: view.getUint32(at + 1, true),
    })
  }
  return objects
}

function nameOf(kind: PinnedKind, id: Uint8Array, generation: bigint): string {
  const hex = Buffer.from(id).toString('hex')
  switch (kind) {
    case 'snapshot':
    case 'fence':
      return `snapshots/${hex}`
    case 'tombstone':
      return `forget/${hex}`
    case 'slot':
    case 'removed slot':
      return `keys/${hex}`
    default:
      return `gc/${generation}.${kind}`
  }
}
