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
  /**
   * Memory that the store may read the object into, when it is long enough. The answer is then a view of it from its
   * first byte on. It spares whoever reads many large objects the making and freeing of memory. A store that cannot
   * make use of it gives memory of its own, as ever, and leaves this alone.
   */
  readonly into?: ArrayBuffer
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
 *   they can be transferred to a worker, and the store never touches them again. Only where {@link StoreGetOptions.into}
 *   was given they may be a part of that; it is not touched either once the call has settled.
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
