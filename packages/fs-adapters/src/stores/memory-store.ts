import {
  assertStoreName,
  assertStorePrefix,
  PlatterError,
  type Store,
  type StoreCallOptions,
  type StoreGetOptions,
  type StoreStat,
} from '@platter/core'
import { assertRange, assertSize } from './object-limits.ts'
import { concatParts } from './parts.ts'

/** A store that lives in memory: for tests, for trying things out, and as the reference for other stores. */
export class MemoryStore implements Store {
  readonly label: string = 'memory'
  readonly #objects = new Map<string, Uint8Array<ArrayBuffer>>()

  /** @throws ERR_NOT_FOUND, ERR_LIMIT_EXCEEDED, ERR_INVALID_NAME */
  async get(name: string, options: StoreGetOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#find(name, options)
    assertSize(name, bytes.length, options.maxBytes)
    return bytes.slice()
  }

  /** @throws ERR_NOT_FOUND, ERR_STORE_IO, ERR_INVALID_NAME */
  async getRange(
    name: string,
    offset: number,
    length: number,
    options: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#find(name, options)
    assertRange(name, offset, length, bytes.length)
    return bytes.slice(offset, offset + length)
  }

  /** @throws ERR_INVALID_NAME */
  async stat(name: string, options: StoreCallOptions = {}): Promise<StoreStat | undefined> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    const bytes = this.#objects.get(name)
    return bytes && { name, sizeBytes: bytes.length }
  }

  /** @throws ERR_INVALID_NAME */
  async *list(prefix: string, options: StoreCallOptions = {}): AsyncIterable<StoreStat> {
    assertStorePrefix(prefix)
    for (const [name, bytes] of [...this.#objects]) {
      options.signal?.throwIfAborted()
      if (name.startsWith(prefix)) yield { name, sizeBytes: bytes.length }
    }
  }

  /** @throws ERR_INVALID_NAME */
  async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    if (this.#objects.has(name)) return 'exists'
    this.#objects.set(name, concatParts(parts))
    return 'created'
  }

  /** @throws ERR_INVALID_NAME */
  async delete(name: string, options: StoreCallOptions = {}): Promise<void> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    this.#objects.delete(name)
  }

  /** Does nothing: the objects live as long as the instance, so that it can be opened again. */
  async close(): Promise<void> {}

  #find(name: string, options: StoreCallOptions): Uint8Array<ArrayBuffer> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    const bytes = this.#objects.get(name)
    if (bytes === undefined) throw notFound(name)
    return bytes
  }
}

function notFound(name: string): PlatterError {
  return new PlatterError('ERR_NOT_FOUND', `There is no object '${name}' in the store in memory.`, {
    object: name,
  })
}
