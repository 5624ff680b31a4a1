import { PlatterError, type Store, settle, type WritableStore } from '@platter/core'
import { encodeMark, encodeSweep, type MarkRecord, type SweepRecord } from '../format/gc-records.ts'
import { MAX_REPLACED_SEGMENTS } from '../format/limits.ts'
import { GC_PREFIX, gcName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { readHints, readPendingSweep } from '../gc/gc-state.ts'
import { removeSwept } from '../prune/removal.ts'

/** What retiring segments needs of an open repository. */
export interface RetireContext extends SealedStore<WritableStore> {
  readonly now: () => Date
}

/**
 * Removes index segments whose replacement is durable, in a generation of garbage collection that condemns nothing.
 * Whoever decides that a segment can go relies on others that stay. Nothing goes but by a sweep, and the first sweep
 * of a generation counts; so when this one is published, nothing has gone since generation `ground`, and when another
 * is, nothing is removed here.
 *
 * @param ground the newest generation when the segments were listed.
 * @returns names of those that still stand, because the store cannot remove objects.
 * @throws ERR_SESSION_FENCED when a prune, or another repair, has changed the index meanwhile.
 */
export async function retireSegments(
  context: RetireContext,
  ground: number,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (!('delete' in context.store)) return names
  let generation = ground
  for (let at = 0; at < names.length; at += MAX_REPLACED_SEGMENTS) {
    generation++
    await putMark(context, generation, signal)
    await sweepSegments(context, generation, names.slice(at, at + MAX_REPLACED_SEGMENTS), signal)
  }
  return []
}

/** Begins a generation, unless a prune has: then its sweep will be this one, and what it condemns stays. */
async function putMark(context: RetireContext, generation: number, signal: AbortSignal): Promise<void> {
  const { store, records, now } = context
  const last = await readHints(context, generation - 1, signal)
  const none = { unlisted: [], openSessions: [], timeMillis: now().getTime() }
  const mark: MarkRecord = { ...(last ?? none), condemned: [] }
  await store.putIfAbsent(gcName(generation, 'mark'), encodeMark(generation, mark, records), { signal })
}

async function sweepSegments(
  context: RetireContext,
  generation: number,
  segments: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { store, records } = context
  const packs = { unreferenced: [], repacked: [], unlisted: [] }
  const sweep = encodeSweep(generation, { session: undefined, packs, segments }, records)
  const name = gcName(generation, 'sweep')
  await store.putIfAbsent(name, sweep, { signal })
  const published = await readPendingSweep(context, generation, signal)
  if (!isOfThese(published, segments)) {
    throw new PlatterError(
      'ERR_SESSION_FENCED',
      'A prune, or another repair, has changed the index meanwhile. Nothing is lost; run the repair again.',
      { object: name },
    )
  }
  await settle(store, GC_PREFIX, { signal })
  const options = { signal, onRemove: undefined, onProgress: () => {} }
  await removeSwept({ store: store as Store, records }, generation, published, options)
}

/** Whether a sweep is this repair's own: no other names the same segments and no pack. */
function isOfThese({ session, packs, segments }: SweepRecord, own: readonly string[]): boolean {
  const isSegmentsOnly = session === undefined && Object.values(packs).every(({ length }) => length === 0)
  return isSegmentsOnly && segments.length === own.length && own.every((name, i) => segments[i] === name)
}
