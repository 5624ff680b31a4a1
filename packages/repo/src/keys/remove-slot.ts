import {
  type KeySlotId,
  PlatterError,
  type ReadableStore,
  type RecordSealer,
  type RepositoryId,
  type Store,
} from '@platter/core'
import { decodeKeyRemoval, encodeKeyRemoval } from '../format/key-removal-record.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import { KEY_REMOVALS_PREFIX, keyRemovalName, keyRemovalOfName, keySlotName } from '../format/object-names.ts'
import { loadKeySlots } from './load-slots.ts'

/** What removing a slot needs of an open repository. */
export interface RemoveSlotContext {
  readonly store: Store
  readonly repository: RepositoryId
  readonly records: RecordSealer
}

/** Times a removal is tried again because another one came first. */
const MAX_TRIES = 100

/**
 * Removes a key slot, as long as another opens the repository. All removals are put into one order by records that are
 * numbered, and created if absent: each has seen all before it, so of two that run at once, one sees what the other
 * removes. What a record names is as good as gone, whether or not the slot still stands.
 *
 * @throws ERR_LAST_KEY_SLOT, with nothing removed; ERR_CORRUPT_RECORD when it cannot be known what others remove;
 * ERR_LIMIT_EXCEEDED, and what the store throws.
 */
export async function removeKeySlot(
  { store, repository, records }: RemoveSlotContext,
  id: KeySlotId,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const { removed, next } = await readRemovals(store, records, signal)
    if (!removed.has(id)) {
      // Listed only now: what stands and is not among those removed stays until a later record says so.
      const slots = await loadKeySlots(store, repository, { signal })
      const isAnother = slots.some(
        (other) => other.id !== id && other.slot !== undefined && !removed.has(other.id),
      )
      if (!isAnother) throw lastSlot(id)
      const name = keyRemovalName(next)
      if ((await store.putIfAbsent(name, encodeKeyRemoval(name, id, records), { signal })) === 'exists')
        continue
    }
    await store.delete(keySlotName(id), { signal })
    return
  }
  throw new PlatterError(
    'ERR_STORE_IO',
    `The store ${store.label} does not list the objects under '${KEY_REMOVALS_PREFIX}' that it has.`,
  )
}

/** The slots that were removed, or are being removed, and the number of the next removal. */
async function readRemovals(
  store: ReadableStore,
  records: RecordSealer,
  signal: AbortSignal,
): Promise<{ readonly removed: ReadonlySet<KeySlotId>; readonly next: number }> {
  const names: string[] = []
  let next = 0
  for await (const { name } of store.list(KEY_REMOVALS_PREFIX, { signal })) {
    const number = keyRemovalOfName(name)
    if (number === undefined) continue
    names.push(name)
    next = Math.max(next, number + 1)
  }
  const removed = new Set<KeySlotId>()
  for (const name of names) removed.add(await readRemoval(store, name, records, signal))
  return { removed, next }
}

async function readRemoval(
  store: ReadableStore,
  name: string,
  records: RecordSealer,
  signal: AbortSignal,
): Promise<KeySlotId> {
  const bytes = await store.get(name, { maxBytes: MAX_RECORD_BYTES, signal })
  try {
    return decodeKeyRemoval(name, bytes, records)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_CORRUPT_RECORD')) throw error
    throw new PlatterError(
      'ERR_CORRUPT_RECORD',
      `${error.message} It says which key slot was removed. Put a copy of ${name} back. If there is none: see to it that nobody else is removing a key slot, and remove that object.`,
      { object: name, cause: error },
    )
  }
}

function lastSlot(id: KeySlotId): PlatterError {
  return new PlatterError(
    'ERR_LAST_KEY_SLOT',
    `The key slot ${id} is the last that opens the repository; add another before you remove it. Slots whose removal has begun do not count.`,
    { object: keySlotName(id) },
  )
}
