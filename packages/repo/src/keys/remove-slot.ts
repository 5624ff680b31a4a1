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
import { listKeySlots, loadKeySlot } from './load-slots.ts'

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
 * and what the store throws.
 */
export async function removeKeySlot(
  context: RemoveSlotContext,
  id: KeySlotId,
  signal: AbortSignal,
): Promise<void> {
  if (!(await removeInOrder(context, id, () => true, signal))) throw lastSlot(id)
}

/**
 * Removes a slot that was just added if there are more than `limit` with it, as when others were added at the same time.
 * It takes its place among the removals, so of several that are too many just as many go as have to.
 *
 * @returns whether it was removed.
 * @throws ERR_CORRUPT_RECORD when it cannot be known what others remove; and what the store throws.
 */
export async function removeIfBeyond(
  limit: number,
  context: RemoveSlotContext,
  id: KeySlotId,
  signal: AbortSignal,
): Promise<boolean> {
  // Without a look at the removals first: damage of their records must not keep a way in from being added.
  if ((await listKeySlots(context.store, { signal })).length <= limit) return false
  return await removeInOrder(context, id, (remaining) => remaining > limit, signal)
}

/**
 * @param mayGo given how many slots stand that nobody removes, this one among them.
 * @returns whether the slot was removed. It was not when it may not go, or when no other opens the repository.
 */
async function removeInOrder(
  context: RemoveSlotContext,
  id: KeySlotId,
  mayGo: (remaining: number) => boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const { store, records } = context
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const { removed, next } = await readRemovals(store, records, signal)
    if (!removed.has(id)) {
      // Listed only now: what stands and is not among those removed stays until a later record says so.
      const remaining = (await listKeySlots(store, { signal })).filter((each) => !removed.has(each))
      if (!mayGo(remaining.length)) return false
      const others = remaining.filter((each) => each !== id)
      const isAnother = await isAnyUsable(context, others, signal)
      if (isAnother === 'gone') continue
      if (!isAnother) return false
      const name = keyRemovalName(next)
      if ((await store.putIfAbsent(name, encodeKeyRemoval(name, id, records), { signal })) === 'exists')
        continue
    }
    await store.delete(keySlotName(id), { signal })
    return true
  }
  throw new PlatterError(
    'ERR_STORE_IO',
    `The store ${store.label} does not list the objects under '${KEY_REMOVALS_PREFIX}' that it has.`,
  )
}

/** Whether one of the slots can be read; or that one is gone, and what took its place may not be among them. */
async function isAnyUsable(
  { store, repository }: RemoveSlotContext,
  ids: readonly KeySlotId[],
  signal: AbortSignal,
): Promise<boolean | 'gone'> {
  try {
    for (const id of ids)
      if ((await loadKeySlot(store, repository, id, { signal })).slot !== undefined) return true
    return false
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_NOT_FOUND')) throw error
    return 'gone'
  }
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
