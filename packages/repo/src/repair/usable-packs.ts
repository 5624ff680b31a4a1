import { createHasher, type PackId, PlatterError, packIdFrom, type ReadableStore } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import { MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import { listSettledPacks } from '../pack/list-packs.ts'

/** Packs in the store that may be listed, with their sizes in bytes: all but those in quarantine that are still damaged. */
export async function listUsablePacks(
  store: ReadableStore,
  signal: AbortSignal,
): Promise<Map<PackId, number>> {
  const { sizes, quarantined } = await listSettledPacks(store, signal)
  for (const id of quarantined) if (sizes.has(id) && !(await isWhole(store, id, signal))) sizes.delete(id)
  return sizes
}

/** Whether an intact copy has been put in the place of a pack in quarantine. */
export async function isWhole(store: ReadableStore, id: PackId, signal: AbortSignal): Promise<boolean> {
  try {
    const file = await store.get(packName(id), { maxBytes: MAX_PACK_FILE_BYTES, signal })
    return packIdFrom(createHasher().hash(file)) === id
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof PlatterError && DAMAGE.has(error.code)) return false
    throw error
  }
}
