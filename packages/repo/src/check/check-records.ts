import { PlatterError, RECORD_TYPE, type RecordSealer, type RecordType } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { decodeDamageMark } from '../format/damage-record.ts'
import { decodeMark, decodeSweep, type SweepRecord } from '../format/gc-records.ts'
import { decodeKeyRemoval } from '../format/key-removal-record.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import {
  DAMAGE_PREFIX,
  damageMarkOfName,
  FORGET_PREFIX,
  forgottenIdOfName,
  GC_PREFIX,
  type GcStep,
  gcName,
  gcStepOfName,
  intentOfName,
  KEY_REMOVALS_PREFIX,
  keyRemovalOfName,
  QUARANTINE_PREFIX,
  quarantinedIdOfName,
  SESSIONS_PREFIX,
  snapshotName,
} from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { decodeSession } from '../format/session-record.ts'

const CONCURRENCY = 8
const STEPS: readonly GcStep[] = ['mark', 'sweep', 'done']

/** Told of every record that is damaged, or that must be there and is not; throws what is no damage. */
type Report = (error: unknown, object: string) => void

/** Reads a record as whoever needs it does. @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
type Read<Result> = (name: string, bytes: Uint8Array, records: RecordSealer) => Result

/**
 * Reads what writers, collectors and repairs say to one another. Damage of it lets no restore fail, but a prune that
 * cannot be sure of something stops.
 *
 * @throws what the store throws.
 */
export async function checkRecords(objects: SealedStore, signal: AbortSignal, report: Report): Promise<void> {
  const readAll = <Result>(
    prefix: string,
    idOf: (name: string) => unknown,
    read: Read<Result>,
  ): Promise<Map<string, Result | undefined>> =>
    readRecords(objects, prefix, (name) => idOf(name) !== undefined, read, signal, report)
  const gc = await readAll(GC_PREFIX, gcStepOfName, readGcRecord)
  for (const name of missingGcObjects([...gc.keys()])) report(missing(name), name)
  for (const sweep of gc.values()) if (sweep) await checkFence(objects, sweep, signal, report)
  await readAll(SESSIONS_PREFIX, intentOfName, decodeSession)
  await readAll(DAMAGE_PREFIX, damageMarkOfName, decodeDamageMark)
  await readAll(FORGET_PREFIX, forgottenIdOfName, opens(RECORD_TYPE.forget))
  await readAll(KEY_REMOVALS_PREFIX, keyRemovalOfName, decodeKeyRemoval)
  await readAll(QUARANTINE_PREFIX, quarantinedIdOfName, opens(RECORD_TYPE.quarantine))
}

/** All records below a prefix; undefined for those that are damaged. */
async function readRecords<Result>(
  { store, records }: SealedStore,
  prefix: string,
  isOurs: (name: string) => boolean,
  read: Read<Result>,
  signal: AbortSignal,
  report: Report,
): Promise<Map<string, Result | undefined>> {
  const found = new Map<string, Result | undefined>()
  for await (const { name } of store.list(prefix, { signal })) if (isOurs(name)) found.set(name, undefined)
  const look = async (name: string): Promise<void> => {
    try {
      found.set(name, read(name, await store.get(name, { maxBytes: MAX_RECORD_BYTES, signal }), records))
    } catch (error) {
      // Removed since it was listed, as a prune does with records of sessions that have ended.
      if (!PlatterError.is(error, 'ERR_NOT_FOUND')) report(error, name)
    }
  }
  for await (const _ of mapConcurrently([...found.keys()], CONCURRENCY, look));
  return found
}

/** The sweep, where it is one. */
function readGcRecord(name: string, bytes: Uint8Array, records: RecordSealer): SweepRecord | undefined {
  const { generation, step } = gcStepOfName(name)!
  if (step === 'sweep') return decodeSweep(generation, bytes, records)
  if (step === 'mark') decodeMark(generation, bytes, records)
  else records.open(RECORD_TYPE.done, name, bytes)
  return undefined
}

function opens(type: RecordType): Read<Uint8Array> {
  return (name, bytes, records) => records.open(type, name, bytes)
}

/** What must be there although it is not: nobody removes these, and each is created after the one before it. */
function missingGcObjects(names: readonly string[]): string[] {
  const there = new Set(names)
  const generations = [...new Set(names.map((name) => gcStepOfName(name)!.generation))].sort((a, b) => a - b)
  const gone: string[] = []
  let expected = 1
  for (const generation of generations) {
    // The first of those that lack is enough: it may be any number of them.
    if (generation !== expected) gone.push(gcName(expected, 'mark'))
    expected = generation + 1
    const isNewest = generation === generations.at(-1)
    const stands = STEPS.map((step) => there.has(gcName(generation, step)))
    const steps = STEPS.slice(0, isNewest ? stands.lastIndexOf(true) : STEPS.length)
    gone.push(...steps.map((step) => gcName(generation, step)).filter((name) => !there.has(name)))
  }
  return gone
}

/** Without the fence a collector's session would count as open, and what it listed could be taken for a writer's. */
async function checkFence(
  { store }: SealedStore,
  { session }: SweepRecord,
  signal: AbortSignal,
  report: Report,
): Promise<void> {
  if (session === undefined) return
  const name = snapshotName(session)
  if ((await store.stat(name, { signal })) === undefined) report(missing(name), name)
}

function missing(name: string): PlatterError {
  return new PlatterError(
    'ERR_CORRUPT_RECORD',
    `The object ${name} is missing, although what comes after it is there. Put a copy of it back.`,
    { object: name },
  )
}
