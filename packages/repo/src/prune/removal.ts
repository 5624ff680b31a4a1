import { type PackId, type Store, settle } from '@platter/core'
import type { Removal } from '../api/prune-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { encodeDone, REMOVAL_REASONS, type SweepRecord } from '../format/gc-records.ts'
import {
  gcName,
  PACKS_PREFIX,
  packIdOfName,
  packName,
  SNAPSHOTS_PREFIX,
  sessionName,
} from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { SessionTrust } from '../gc/session-trust.ts'
import { listIntents } from '../session/open-sessions.ts'

/** Removals under way at once. */
const CONCURRENCY = 8

export interface RemovalOptions {
  readonly signal: AbortSignal
  readonly onRemove: ((removal: Removal) => void) | undefined
  readonly onProgress: (done: number, total: number) => void
}

/**
 * Removes what a published sweep names: index segments first, so that nothing names a pack that is gone, then packs;
 * then says that the generation is done. Doing it twice, or at the same time as others, is harmless.
 */
export async function removeSwept(
  { store, records }: SealedStore<Store>,
  generation: number,
  sweep: SweepRecord,
  { signal, onRemove, onProgress }: RemovalOptions,
): Promise<{ readonly packs: number; readonly segments: number; readonly bytes: number }> {
  const segments = sweep.segments.map((object): Removal => ({ object, reason: 'replaced', generation }))
  const packs = REMOVAL_REASONS.flatMap((reason) =>
    sweep.packs[reason].map((id): Removal => ({ object: packName(id), reason, generation })),
  )
  const sizes = await packSizes(
    store,
    new Set(REMOVAL_REASONS.flatMap((reason) => sweep.packs[reason])),
    signal,
  )
  const total = segments.length + packs.length
  let done = 0
  let bytes = 0
  const remove = async (removal: Removal): Promise<void> => {
    signal.throwIfAborted()
    onRemove?.(removal)
    await store.delete(removal.object, { signal })
    bytes += sizes.get(removal.object) ?? 0
    onProgress(++done, total)
  }
  for await (const _ of mapConcurrently(segments, CONCURRENCY, remove));
  for await (const _ of mapConcurrently(packs, CONCURRENCY, remove));
  signal.throwIfAborted()
  const record = encodeDone(generation, { packs: packs.length, segments: segments.length }, records)
  await store.putIfAbsent(gcName(generation, 'done'), record, { signal })
  return { packs: packs.length, segments: segments.length, bytes }
}

/** Removes the records of sessions that have committed or been fenced: that says all that they said. */
export async function removeFinishedSessions(
  objects: SealedStore<Store>,
  signal: AbortSignal,
): Promise<void> {
  const intents = await listIntents(objects, signal)
  const trust = await SessionTrust.list(objects, signal)
  const names = [...intents].flatMap(([session, numbers]) =>
    trust.isFinished(session) ? numbers.map((number) => sessionName(session, number)) : [],
  )
  if (names.length === 0) return
  // A session without record whose snapshot is lost when the power fails would count as open for ever.
  await settle(objects.store, SNAPSHOTS_PREFIX, { signal })
  const remove = (name: string): Promise<void> => objects.store.delete(name, { signal })
  for await (const _ of mapConcurrently(names, CONCURRENCY, remove));
}

async function packSizes(
  store: Store,
  wanted: ReadonlySet<PackId>,
  signal: AbortSignal,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  if (wanted.size === 0) return sizes
  for await (const { name, sizeBytes } of store.list(PACKS_PREFIX, { signal })) {
    const id = packIdOfName(name)
    if (id !== undefined && wanted.has(id)) sizes.set(name, sizeBytes)
  }
  return sizes
}
