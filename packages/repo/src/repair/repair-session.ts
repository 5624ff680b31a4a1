import type { PlatterError, RandomSource, RecordSealer, WritableStore } from '@platter/core'
import { WriterSession } from '../session/writer-session.ts'

/** How often a repair gives a sign of life. */
const HEARTBEAT_MILLIS = 300_000

/** What a session of a repair needs. */
export interface RepairSessionContext {
  readonly store: WritableStore
  readonly records: RecordSealer
  readonly random: RandomSource
  readonly now: () => Date
}

/**
 * Does work under a session, which a repair never commits: it says at the end that it has given up. A prune that was
 * begun meanwhile waits until then, and lists what the repair has stored under its own name.
 *
 * @param work is given no session when it is to change nothing, and a signal that is also aborted when a prune has
 * ended the session.
 */
export async function underSession<Result>(
  context: RepairSessionContext,
  { dryRun, signal }: { readonly dryRun: boolean; readonly signal: AbortSignal },
  work: (session: WriterSession | undefined, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  if (dryRun) return await work(undefined, signal)
  const fenced = new AbortController()
  const either = AbortSignal.any([signal, fenced.signal])
  const session = await WriterSession.begin(context, context, either)
  session.keepAlive(HEARTBEAT_MILLIS, either, (error: PlatterError) => fenced.abort(error))
  try {
    return await work(session, either)
  } finally {
    await session.abandon()
  }
}
