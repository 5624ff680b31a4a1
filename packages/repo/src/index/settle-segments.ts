import { type ReadableStore, type SessionId, type StoreStat, settle } from '@platter/core'
import { indexPrefix, indexSessionOfName } from '../format/object-names.ts'
import type { SessionTrust } from '../gc/session-trust.ts'

/**
 * Makes index segments durable whose sessions have not ended, before something relies on them. A commit says that
 * they are; without one their writer may have been killed, or have failed, just before they were.
 */
export async function settleOpenSegments(
  store: ReadableStore,
  segments: readonly StoreStat[],
  trust: SessionTrust,
  signal: AbortSignal,
): Promise<void> {
  const sessions = new Set<SessionId>(segments.map(({ name }) => indexSessionOfName(name)!))
  for (const session of sessions)
    if (!trust.isFinished(session)) await settle(store, indexPrefix(session), { signal })
}
