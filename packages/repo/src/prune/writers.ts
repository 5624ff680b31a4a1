import { PlatterError, type SessionId, type WritableStore } from '@platter/core'
import { encodeFence, type FenceRecord, type ObservedSession } from '../format/gc-records.ts'
import { snapshotName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { SessionTrust } from '../gc/session-trust.ts'
import { listIntents, type OpenSession, readOpenSessions } from '../session/open-sessions.ts'

/** A writer whose last sign of life is older than this by its own clock is dead: clocks are seldom off by days. */
const CERTAINLY_DEAD_MILLIS = 24 * 60 * 60 * 1000

/** What a collector saw of the open sessions at some time, by its own clock. */
export interface Observation {
  readonly timeMillis: number
  readonly openSessions: readonly ObservedSession[]
}

/** Times sessions are listed again because one of them ended meanwhile. */
const MAX_TRIES = 8

/**
 * The sessions that may still commit, as they are now.
 *
 * @throws ERR_UNSUPPORTED_VERSION, and what the store throws.
 */
export async function openSessionsNow(objects: SealedStore, signal: AbortSignal): Promise<OpenSession[]> {
  for (let attempt = 1; ; attempt++) {
    const intents = await listIntents(objects, signal)
    const trust = await SessionTrust.list(objects, signal)
    try {
      return await readOpenSessions(objects, intents, trust, signal)
    } catch (error) {
      // Another collector removed the records of a session that was open when it was listed, and has ended since.
      if (!PlatterError.is(error, 'ERR_NOT_FOUND') || attempt === MAX_TRIES) throw error
    }
  }
}

/**
 * Decides which writers are alive. What is told by a collector's observations is certain but for the collectors'
 * own clocks; what the writers say of the time is believed only when they seem a day old. Safety rests on neither:
 * a writer that is taken for dead by mistake fails cleanly.
 */
export class Liveness {
  readonly #patienceMillis: number
  /** Since when a session's newest record has been the same, for the number of that record. */
  readonly #silent = new Map<SessionId, { readonly intent: number; readonly sinceMillis: number }>()

  constructor(patienceMillis: number) {
    this.#patienceMillis = patienceMillis
  }

  /** Takes in what was seen, in the order in which it was. */
  observe({ timeMillis, openSessions }: Observation): void {
    for (const { session, intent } of openSessions) {
      const before = this.#silent.get(session)
      // A collector whose clock is ahead must not have a session count as alive until that time has come.
      const isNews = before === undefined || before.intent !== intent || before.sinceMillis > timeMillis
      if (isNews) this.#silent.set(session, { intent, sinceMillis: timeMillis })
    }
  }

  /** Whether a session that has just been observed is dead. */
  isDead({ id, ended, timeMillis }: OpenSession, nowMillis: number): boolean {
    if (ended) return true
    const silent = this.#silent.get(id)
    if (silent !== undefined && nowMillis - silent.sinceMillis >= this.#patienceMillis) return true
    const limit = Math.max(CERTAINLY_DEAD_MILLIS, this.#patienceMillis)
    return timeMillis !== undefined && nowMillis - timeMillis >= limit
  }
}

export function observationOf(sessions: readonly OpenSession[], timeMillis: number): Observation {
  return { timeMillis, openSessions: sessions.map(({ id, intent }) => ({ session: id, intent })) }
}

/**
 * Takes the name that a session's commit needs.
 *
 * @returns whether this ended it; false when it had committed, or been fenced, before.
 */
export async function fence(
  { store, records }: SealedStore<WritableStore>,
  session: SessionId,
  record: FenceRecord,
  signal: AbortSignal,
): Promise<boolean> {
  const name = snapshotName(session)
  return (await store.putIfAbsent(name, encodeFence(session, record, records), { signal })) === 'created'
}
