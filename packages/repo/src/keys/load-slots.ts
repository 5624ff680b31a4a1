import { type KeySlotId, PlatterError, type ReadableStore, type RepositoryId } from '@platter/core'
import { MAX_KEY_SLOT_BYTES, MAX_KEY_SLOTS_READ } from '../format/limits.ts'
import { KEYS_PREFIX, keySlotIdOfName, keySlotName } from '../format/object-names.ts'
import { decodeKeySlot, type KeySlot } from './key-slot.ts'

/** What stands under a slot's name: the slot, or why it cannot be used. */
export type LoadedSlot =
  | { readonly id: KeySlotId; readonly slot: KeySlot }
  | { readonly id: KeySlotId; readonly slot: undefined; readonly problem: PlatterError }

/** What makes one slot unusable, and says nothing of others. */
const UNUSABLE: ReadonlySet<string> = new Set([
  'ERR_CORRUPT_KEY_SLOT',
  'ERR_KEY_SLOT_PARAMETERS',
  'ERR_UNSUPPORTED_VERSION',
  'ERR_LIMIT_EXCEEDED',
])

/** Times slots are listed again because one was removed meanwhile. */
const MAX_TRIES = 8

/**
 * Reads all key slots of a repository, in the order of their ids. When one is removed meanwhile they are listed again:
 * one that took its place may not have been there yet.
 *
 * @throws ERR_LIMIT_EXCEEDED when there are more than {@link MAX_KEY_SLOTS_READ}, and what the store throws.
 */
export async function loadKeySlots(
  store: ReadableStore,
  repository: RepositoryId,
  options: { readonly signal?: AbortSignal },
): Promise<LoadedSlot[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await loadOnce(store, repository, options)
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_NOT_FOUND') || attempt === MAX_TRIES) throw error
    }
  }
}

async function loadOnce(
  store: ReadableStore,
  repository: RepositoryId,
  options: { readonly signal?: AbortSignal },
): Promise<LoadedSlot[]> {
  const ids = await listKeySlots(store, options)
  if (ids.length > MAX_KEY_SLOTS_READ) {
    throw new PlatterError(
      'ERR_LIMIT_EXCEEDED',
      `There are ${ids.length} key slots. Remove objects under '${KEYS_PREFIX}' that do not belong there.`,
      { expected: MAX_KEY_SLOTS_READ, actual: ids.length },
    )
  }
  const slots: LoadedSlot[] = []
  for (const id of ids) slots.push(await loadKeySlot(store, repository, id, options))
  return slots
}

/** Ids of all key slots, in order, however many there are. */
export async function listKeySlots(
  store: ReadableStore,
  options: { readonly signal?: AbortSignal },
): Promise<KeySlotId[]> {
  const ids: KeySlotId[] = []
  for await (const { name } of store.list(KEYS_PREFIX, options)) {
    const id = keySlotIdOfName(name)
    if (id !== undefined) ids.push(id)
  }
  return ids.sort()
}

/** @throws ERR_NOT_FOUND when it was removed since it was listed, and what the store throws. */
export async function loadKeySlot(
  store: ReadableStore,
  repository: RepositoryId,
  id: KeySlotId,
  options: { readonly signal?: AbortSignal },
): Promise<LoadedSlot> {
  try {
    const bytes = await store.get(keySlotName(id), { ...options, maxBytes: MAX_KEY_SLOT_BYTES })
    return { id, slot: decodeKeySlot(id, repository, bytes) }
  } catch (error) {
    if (!(error instanceof PlatterError && UNUSABLE.has(error.code))) throw error
    return { id, slot: undefined, problem: error }
  }
}
