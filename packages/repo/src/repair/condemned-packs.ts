import { PlatterError, type ReadableStore } from '@platter/core'
import { gcName } from '../format/object-names.ts'
import { readGcState } from '../gc/gc-state.ts'

/**
 * Refuses to go on while a prune is under way or was cut off: a pack that it is about to remove must not be listed
 * again, and only the prune's own end says which those are. To be called after the repair has declared its session:
 * a prune that begins later waits for it.
 *
 * @throws ERR_PRUNE_UNFINISHED
 */
export async function assertNoUnfinishedPrune(store: ReadableStore, signal: AbortSignal): Promise<void> {
  const { newest, idle } = await readGcState(store, signal)
  if (idle) return
  throw new PlatterError(
    'ERR_PRUNE_UNFINISHED',
    `Prune number ${newest} is under way or was cut off. Let it end, or run a prune to finish it, and repair then.`,
    { object: gcName(newest, 'mark') },
  )
}
