import {
  hasReserve,
  PlatterError,
  type ReadableStore,
  type Store,
  type StoreCallOptions,
  type StoreStat,
} from '@platter/core'

/** A store that, when it is full, gives up the space it kept back, and tries again. */
export class ReserveStore implements Store {
  readonly label: string
  readonly #inner: Store

  constructor(inner: Store) {
    this.#inner = inner
    this.label = inner.label
  }

  get(...args: Parameters<ReadableStore['get']>): Promise<Uint8Array<ArrayBuffer>> {
    return this.#inner.get(...args)
  }

  getRange(...args: Parameters<ReadableStore['getRange']>): Promise<Uint8Array<ArrayBuffer>> {
    return this.#inner.getRange(...args)
  }

  stat(...args: Parameters<ReadableStore['stat']>): Promise<StoreStat | undefined> {
    return this.#inner.stat(...args)
  }

  list(...args: Parameters<ReadableStore['list']>): AsyncIterable<StoreStat> {
    return this.#inner.list(...args)
  }

  async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options?: StoreCallOptions,
  ): Promise<'created' | 'exists'> {
    try {
      return await this.#inner.putIfAbsent(name, parts, options)
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_STORE_FULL') || !hasReserve(this.#inner)) throw error
      if (!(await this.#inner.releaseReserve(options))) throw error
      return await this.#inner.putIfAbsent(name, parts, options)
    }
  }

  delete(name: string, options?: StoreCallOptions): Promise<void> {
    return this.#inner.delete(name, options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
