import type { PackId, ReadableStore } from '@platter/core'
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
