import { type PackId, PlatterError, type Store, settle, type WritableStore } from '@platter/core'
import { REMOVAL_REASONS, type SweepRecord } from '../format/gc-records.ts'
import { GC_PREFIX, gcName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { abandonGeneration } from '../gc/abandon.ts'
import { readGcState, readPendingSweep } from '../gc/gc-state.ts'
import { removeSwept } from '../prune/removal.ts'

/** A prune that was cut off when it had published what it removes. */
export interface PendingPrune {
  readonly generation: number
  readonly sweep: SweepRecord
  /** Packs and names of index segments that may go at any moment, and must not be relied on. */
  readonly packs: ReadonlySet<PackId>
  readonly segments: ReadonlySet<string>
}

/** Where a repair stands among the prunes. */
export interface RepairGround {
  /** The newest generation; nothing but what `pending` names goes before the sweep of the next one is published. */
  readonly generation: number
  readonly pending: PendingPrune | undefined
}

/**
 * Ends a prune that has published no more than its mark, by seeing to it that nothing of that goes: a prune that waits
 * for a writer, or that died, must not keep a repository from being repaired, and what is damaged may keep it from being
 * finished. To be called after the repair has declared its session, so that prunes that begin later wait for it.
 *
 * @throws ERR_CORRUPT_RECORD when what a prune that was cut off removes cannot be read; and what the store throws.
 */
export async function findGround(
  objects: SealedStore<WritableStore>,
  { dryRun, signal }: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<RepairGround> {
  const { newest, newestSwept, idle } = await readGcState(objects.store, signal)
  const generation = newest
  // In a dry run, what would be abandoned counts as that.
  if (idle || (dryRun && !newestSwept)) return { generation, pending: undefined }
  if (!newestSwept) await abandonGeneration(objects, generation, signal)
  const sweep = await readPendingSweep(objects, generation, signal)
  const packs = new Set(REMOVAL_REASONS.flatMap((reason) => sweep.packs[reason]))
  const pending = { generation, sweep, packs, segments: new Set(sweep.segments) }
  if (packs.size > 0 || pending.segments.size > 0) return { generation, pending }
  if (!dryRun) await finishPrune(objects, pending, signal)
  return { generation, pending: undefined }
}

/**
 * Removes what a prune that was cut off was to remove.
 *
 * @throws ERR_PRUNE_UNFINISHED when the store cannot remove objects; and what the store throws.
 */
export async function finishPrune(
  { store, records }: SealedStore<WritableStore>,
  { generation, sweep, packs, segments }: PendingPrune,
  signal: AbortSignal,
): Promise<void> {
  if (packs.size + segments.size > 0 && !('delete' in store)) throw unfinished(generation)
  // Once the generation counts as done, no other sweep of it must be possible any more.
  await settle(store, GC_PREFIX, { signal })
  const options = { signal, onRemove: undefined, onProgress: () => {} }
  await removeSwept({ store: store as Store, records }, generation, sweep, options)
}

/** An ERR_PRUNE_UNFINISHED that says what to do. */
export function unfinished(generation: number): PlatterError {
  return new PlatterError(
    'ERR_PRUNE_UNFINISHED',
    `Prune number ${generation} was cut off while it removed objects. Run a prune to finish it, and repair then.`,
    { object: gcName(generation, 'sweep') },
  )
}
