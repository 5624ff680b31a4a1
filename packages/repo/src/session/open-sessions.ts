import { PlatterError, type SessionId } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import {
  END_INTENT,
  intentOfName,
  SESSIONS_PREFIX,
  sessionName,
  snapshotName,
} from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { decodeSession } from '../format/session-record.ts'
import type { SessionTrust } from '../gc/session-trust.ts'

const CONCURRENCY = 8

/** A session that has neither committed nor been fenced. */
export interface OpenSession {
  readonly id: SessionId
  readonly generation: number
  /** Number of its newest record; it counts on while the writer lives. */
  readonly intent: number
  readonly timeMillis: number | undefined
  /** The writer said that it has given up. */
  readonly ended: boolean
}

/** Names of all session records, by session, with their numbers. */
export async function listIntents(
  { store }: SealedStore,
  signal: AbortSignal,
): Promise<Map<SessionId, number[]>> {
  const intents = new Map<SessionId, number[]>()
  for await (const { name } of store.list(SESSIONS_PREFIX, { signal })) {
    const found = intentOfName(name)
    if (found === undefined) continue
    const numbers = intents.get(found.session)
    if (numbers === undefined) intents.set(found.session, [found.intent])
    else numbers.push(found.intent)
  }
  return intents
}

/**
 * The sessions that may still commit.
 *
 * @param trust listed after `intents`, so that no session that committed in between counts as open.
 * @throws ERR_UNSUPPORTED_VERSION, and what the store throws.
 */
export async function readOpenSessions(
  objects: SealedStore,
  intents: ReadonlyMap<SessionId, readonly number[]>,
  trust: SessionTrust,
  signal: AbortSignal,
): Promise<OpenSession[]> {
  const open = [...intents].filter(([id]) => !trust.isFinished(id))
  const read = async ([id, numbers]: readonly [SessionId, readonly number[]]): Promise<
    OpenSession | undefined
  > => {
    const ended = numbers.includes(END_INTENT)
    const intent = Math.max(...numbers.filter((number) => number !== END_INTENT), ended ? 0 : -1)
    const name = sessionName(id, ended ? END_INTENT : intent)
    const bytes = await getUnlessFinished(objects, id, name, signal)
    if (bytes === undefined) return undefined
    return { id, intent, ended, ...intentIn(name, bytes, objects) }
  }
  const sessions: OpenSession[] = []
  for await (const session of mapConcurrently(open, CONCURRENCY, read)) {
    if (session !== undefined) sessions.push(session)
  }
  return sessions
}

/**
 * What a session record says. One that is damaged says nothing: its session may rely on anything that was ever there, so
 * every prune waits for it, and counts its silence from when a prune first saw it.
 *
 * @throws ERR_UNSUPPORTED_VERSION
 */
function intentIn(
  name: string,
  bytes: Uint8Array,
  { records }: SealedStore,
): Pick<OpenSession, 'generation' | 'timeMillis'> {
  try {
    const { generation, timeMillis } = decodeSession(name, bytes, records)
    return { generation, timeMillis }
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_CORRUPT_RECORD')) throw error
    return { generation: 0, timeMillis: undefined }
  }
}

/**
 * A record that was listed and is gone was removed by a collector, because its session has committed or been fenced
 * since. That the record is gone is no proof of it: without a snapshot or fence, the session counts as unreadable.
 */
async function getUnlessFinished(
  { store }: SealedStore,
  id: SessionId,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(name, { maxBytes: MAX_RECORD_BYTES, signal })
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_NOT_FOUND')) throw error
    if ((await store.stat(snapshotName(id), { signal })) === undefined) throw error
    return undefined
  }
}
