import { type PackId, type ReadableStore, settle } from '@platter/core'
import { PACKS_PREFIX, packIdOfName, QUARANTINE_PREFIX, quarantinedIdOfName } from '../format/object-names.ts'

/** All packs in the store, and the size of each in bytes. */
export async function listPacks(store: ReadableStore, signal: AbortSignal): Promise<Map<PackId, number>> {
  const sizes = new Map<PackId, number>()
  for await (const { name, sizeBytes } of store.list(PACKS_PREFIX, { signal })) {
    const id = packIdOfName(name)
    if (id !== undefined) sizes.set(id, sizeBytes)
  }
  return sizes
}

/** Packs that a repair found damaged and took out of the index. What the index names is in use nevertheless. */
export async function listQuarantined(store: ReadableStore, signal: AbortSignal): Promise<Set<PackId>> {
  const ids = new Set<PackId>()
  for await (const { name } of store.list(QUARANTINE_PREFIX, { signal })) {
    const id = quarantinedIdOfName(name)
    if (id !== undefined) ids.add(id)
  }
  return ids
}

/**
 * The same two, for a repair: it lists packs, and leaves out those put aside, in segments that outlive what it saw. What
 * a writer or a repair stored that died before it was durable is made so.
 */
export async function listSettledPacks(
  store: ReadableStore,
  signal: AbortSignal,
): Promise<{ readonly sizes: Map<PackId, number>; readonly quarantined: Set<PackId> }> {
  const sizes = await listPacks(store, signal)
  const quarantined = await listQuarantined(store, signal)
  for (const prefix of [PACKS_PREFIX, QUARANTINE_PREFIX]) await settle(store, prefix, { signal })
  return { sizes, quarantined }
}
