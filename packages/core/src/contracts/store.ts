/** Size of one stored object. */
export interface StoreStat {
  readonly name: string
  readonly sizeBytes: number
}

export interface StoreCallOptions {
  readonly signal?: AbortSignal
}

/** What can be said when a whole object is read. */
export interface StoreGetOptions extends StoreCallOptions {
  /** Refuse anything larger, before reading it. */
  readonly maxBytes?: number
}

/**
 * A store that can be read. A store holds immutable objects under relative names such as `packs/3f/3f09…`.
 *
 * What every store guarantees (the store conformance suite of `@platter/fs-adapters/testing` checks it):
 *
 * - An object is seen whole or not at all, and after `putIfAbsent` has resolved every reader sees it.
 * - Names follow {@link assertStoreName}; anything else is refused with ERR_INVALID_NAME before any I/O.
 * - Only confirmed absence is ERR_NOT_FOUND. What could not be read, for want of permission, by an I/O error or
 *   a lost connection, is ERR_STORE_ACCESS or ERR_STORE_IO. `stat` answers undefined for confirmed absence only.
 * - `list` gives every object that existed before it was called, once, in no promised order, or throws. It never
 *   ends early without an error.
 * - Returned bytes belong to the caller: they span their whole ArrayBuffer (byteOffset 0, no pooled memory), so
 *   they can be transferred to a worker, and the store never touches them again.
 */
export interface ReadableStore {
  /** Where the store is, for messages. */
  readonly label: string

  /**
   * Reads a whole object.
   *
   * @throws ERR_NOT_FOUND, ERR_LIMIT_EXCEEDED, ERR_STORE_ACCESS, ERR_STORE_IO
   */
  get(name: string, options?: StoreGetOptions): Promise<Uint8Array<ArrayBuffer>>

  /**
   * Reads `length` bytes at `offset`. A range that does not lie wholly within the object is an error
   * (ERR_STORE_IO), never a short answer.
   *
   * @throws ERR_NOT_FOUND, ERR_STORE_ACCESS, ERR_STORE_IO
   */
  getRange(
    name: string,
    offset: number,
    length: number,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer>>

  /** Size of an object, or undefined where there certainly is none. @throws ERR_STORE_ACCESS, ERR_STORE_IO */
  stat(name: string, options?: StoreCallOptions): Promise<StoreStat | undefined>

  /**
   * Every object whose name starts with `prefix`, which is '' or ends in '/'.
   *
   * @throws ERR_STORE_ACCESS, ERR_STORE_IO when the list cannot be complete.
   */
  list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat>

  /** Frees what the store holds. Calling it twice is harmless. */
  close(): Promise<void>
}

/** A store that can be added to. */
export interface WritableStore extends ReadableStore {
  /**
   * Creates an object from `parts`, one after the other, unless the name is taken. When it resolves to 'created'
   * the object is durable: it survives a power cut. Of any number of racing callers exactly one is told
   * 'created'. On any error nothing stands under the name, or the whole object does (when only the answer was
   * lost); never a part of it. The store does not keep or change `parts` after it settled.
   *
   * @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_STORE_UNSUPPORTED
   */
  putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options?: StoreCallOptions,
  ): Promise<'created' | 'exists'>
}

/** A store from which objects can be removed, as prune needs it. */
export interface Store extends WritableStore {
  /**
   * Removes an object; removing what is absent is no error. When it resolves, the removal is durable: a power cut
   * does not bring the object back.
   *
   * @throws ERR_STORE_ACCESS, ERR_STORE_IO
   */
  delete(name: string, options?: StoreCallOptions): Promise<void>
}

/**
 * What a store of limited space can offer besides: a few bytes kept back, so that a store that is full can be pruned,
 * which begins with writing some small objects.
 */
export interface SpaceReserve {
  /** Keeps `sizeBytes` back, unless that is so already. @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO */
  keepReserve(sizeBytes: number, options?: StoreCallOptions): Promise<void>
  /** Gives the reserve up; says whether there was one. @throws ERR_STORE_ACCESS, ERR_STORE_IO */
  releaseReserve(options?: StoreCallOptions): Promise<boolean>
}

/** Whether a store can keep space back. */
export function hasReserve<S extends ReadableStore>(store: S): store is S & SpaceReserve {
  return 'keepReserve' in store && 'releaseReserve' in store
}

/**
 * What a store offers where objects can be seen before they are durable, as in a folder: who created one may have
 * been killed, or have failed, in between. Whoever relies on an object that may be such a one calls this first.
 */
export interface SettledNames {
  /**
   * Makes durable that the objects below `prefix` are there, those that were there when it was called, and that those
   * removed before are gone. Nothing happens where there are none.
   *
   * @param prefix ends in '/'.
   * @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO
   */
  settle(prefix: string, options?: StoreCallOptions): Promise<void>
}

/** Has a store settle its names, where there is need for that. See {@link SettledNames}. */
export async function settle(
  store: ReadableStore,
  prefix: string,
  options?: StoreCallOptions,
): Promise<void> {
  if (hasSettledNames(store)) await store.settle(prefix, options)
}

function hasSettledNames<S extends ReadableStore>(store: S): store is S & SettledNames {
  return 'settle' in store && typeof store.settle === 'function'
}

/**
 * What a store can offer to those who read many large objects: that no memory is made and freed for each of them.
 */
export interface ReadsInto {
  /**
   * Reads a whole object into `memory`, which may be shared between threads.
   *
   * @returns the part of `memory` that holds the object, from its first byte on; memory of its own where the object is
   * longer, and `memory` is as it was.
   * @throws ERR_NOT_FOUND, ERR_LIMIT_EXCEEDED, ERR_STORE_ACCESS, ERR_STORE_IO; `memory` may hold anything then.
   */
  getInto(name: string, memory: Uint8Array, options?: StoreGetOptions): Promise<Uint8Array>
}

/** Whether a store can read into memory that it is given. */
export function readsInto<S extends ReadableStore>(store: S): store is S & ReadsInto {
  return 'getInto' in store && typeof store.getInto === 'function'
}

/** Reads a whole object, into `memory` if it fits and the store can do that. See {@link ReadsInto}. */
export async function getInto(
  store: ReadableStore,
  name: string,
  memory: Uint8Array,
  options?: StoreGetOptions,
): Promise<Uint8Array> {
  return readsInto(store) ? await store.getInto(name, memory, options) : await store.get(name, options)
}
