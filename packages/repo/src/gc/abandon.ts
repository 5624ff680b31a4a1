import type { WritableStore } from '@platter/core'
import { encodeSweep } from '../format/gc-records.ts'
import { gcName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'

/**
 * Publishes an empty sweep for a generation that has none, so that nothing of what its mark condemns will go. Nobody has
 * to be waited for, and nothing to be read for that. The first sweep counts, as ever: whoever published the mark will
 * find this one and remove nothing, and where another sweep was first, that one is to be carried out.
 */
export async function abandonGeneration(
  { store, records }: SealedStore<WritableStore>,
  generation: number,
  signal: AbortSignal,
): Promise<void> {
  const packs = { unreferenced: [], repacked: [], unlisted: [] }
  const sweep = encodeSweep(generation, { session: undefined, packs, segments: [] }, records)
  await store.putIfAbsent(gcName(generation, 'sweep'), sweep, { signal })
}
