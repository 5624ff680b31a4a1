// Stores that let a test decide when things happen.
import type { Store, StoreCallOptions, StoreGetOptions, StoreStat } from '@platter/core'

/** Calls `before` ahead of every call to another store, and waits for it. */
export class SteppedStore implements Store {
  readonly label = 'stepped'
  readonly #inner: Store
  readonly #before: (call: string) => Promise<void>

  constructor(inner: Store, before: (call: string) => Promise<void>) {
    this.#inner = inner
    this.#before = before
  }

  async get(name: string, options?: StoreGetOptions): Promise<Uint8Array<ArrayBuffer>> {
    await this.#before(`get ${name}`)
    return await this.#inner.get(name, options)
  }

  async getRange(
    name: string,
    offset: number,
    length: number,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    await this.#before(`getRange ${name}`)
    return await this.#inner.getRange(name, offset, length, options)
  }

  async stat(name: string, options?: StoreCallOptions): Promise<StoreStat | undefined> {
    await this.#before(`stat ${name}`)
    return await this.#inner.stat(name, options)
  }

  async *list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat> {
    await this.#before(`list ${prefix}`)
    yield* this.#inner.list(prefix, options)
  }

  async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options?: StoreCallOptions,
  ): Promise<'created' | 'exists'> {
    await this.#before(`put ${name}`)
    return await this.#inner.putIfAbsent(name, parts, options)
  }

  async delete(name: string, options?: StoreCallOptions): Promise<void> {
    await this.#before(`delete ${name}`)
    await this.#inner.delete(name, options)
  }

  async close(): Promise<void> {}
}

/** A store whose lists leave out what `isHidden` says; everything can be read by its name. */
export class ForgetfulStore extends SteppedStore {
  readonly #isHidden: (name: string) => boolean

  constructor(inner: Store, isHidden: (name: string) => boolean) {
    super(inner, async () => {})
    this.#isHidden = isHidden
  }

  override async *list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat> {
    for await (const stat of super.list(prefix, options)) if (!this.#isHidden(stat.name)) yield stat
  }
}

/** A store that does `meanwhile` once, ahead of its call number `call`, counted from 0; `calls` says how many there were. */
export function interruptedAt(
  inner: Store,
  call: number,
  meanwhile: () => Promise<void>,
): { readonly store: Store; readonly calls: () => number } {
  let calls = 0
  const store = new SteppedStore(inner, async () => {
    if (calls++ === call) await meanwhile()
  })
  return { store, calls: () => calls }
}

/** A store whose calls each take a time that looks random, the same for the same seed. */
export function shuffled(inner: Store, seed: number): Store {
  let state = (seed * 2654435761) | 1
  return new SteppedStore(inner, async () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    for (let turns = (state >>> 16) % 7; turns > 0; turns--)
      await new Promise<void>((resolve) => setImmediate(resolve))
  })
}
