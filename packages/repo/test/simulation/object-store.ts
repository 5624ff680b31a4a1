import { PlatterError, type Store, type StoreCallOptions, type StoreStat } from '@platter/core'
import type { RandomStream } from './random-stream.ts'
import type { Actor, Fate, World } from './world.ts'

interface Listing {
  readonly prefix: string
  readonly atFirst: ReadonlyMap<string, number>
  /** What was created or removed since it began, with its size. */
  readonly touched: Map<string, number>
}

/** What an object store holds: objects, created and removed each in one moment. */
export class Bucket {
  readonly objects: Map<string, Uint8Array>
  readonly #listings = new Set<Listing>()

  constructor(objects: Iterable<readonly [string, Uint8Array]> = []) {
    this.objects = new Map(objects)
  }

  copy(): Bucket {
    return new Bucket(this.objects)
  }

  put(name: string, bytes: Uint8Array): 'created' | 'exists' {
    if (this.objects.has(name)) return 'exists'
    this.objects.set(name, bytes)
    this.#touch(name, bytes.length)
    return 'created'
  }

  delete(name: string): void {
    const bytes = this.objects.get(name)
    if (bytes === undefined) return
    this.objects.delete(name)
    this.#touch(name, bytes.length)
  }

  /** Begins to list; what changes until the listing ends may be in it or not. */
  beginListing(prefix: string): Listing {
    const atFirst = new Map<string, number>()
    for (const [name, { length }] of this.objects) if (name.startsWith(prefix)) atFirst.set(name, length)
    const listing = { prefix, atFirst, touched: new Map<string, number>() }
    this.#listings.add(listing)
    return listing
  }

  endListing(listing: Listing, random: RandomStream): StoreStat[] {
    this.#listings.delete(listing)
    const found: StoreStat[] = []
    for (const [name, sizeBytes] of listing.atFirst) {
      if (!listing.touched.has(name)) found.push({ name, sizeBytes })
    }
    for (const [name, sizeBytes] of listing.touched) if (random.chance(0.5)) found.push({ name, sizeBytes })
    // "In no promised order".
    return random.shuffled(found)
  }

  #touch(name: string, sizeBytes: number): void {
    for (const { prefix, touched } of this.#listings) {
      if (name.startsWith(prefix)) touched.set(name, sizeBytes)
    }
  }
}

/** One actor's way to a bucket: every call is one step of the history, a listing is two. */
export class SimulatedStore implements Store {
  readonly label = 'simulated'
  readonly #world: World
  readonly #actor: Actor
  readonly #bucket: Bucket
  readonly #random: RandomStream

  constructor(world: World, actor: Actor, bucket: Bucket, random: RandomStream) {
    this.#world = world
    this.#actor = actor
    this.#bucket = bucket
    this.#random = random
  }

  get(
    name: string,
    { signal, maxBytes }: StoreCallOptions & { readonly maxBytes?: number } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call(`get ${name}`, false, signal, () => {
      const bytes = this.#find(name)
      if (maxBytes !== undefined && bytes.length > maxBytes)
        throw new PlatterError('ERR_LIMIT_EXCEEDED', `'${name}' is too large.`, { object: name })
      return bytes.slice() as Uint8Array<ArrayBuffer>
    })
  }

  getRange(
    name: string,
    offset: number,
    length: number,
    { signal }: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#call(`get ${name} ${offset}+${length}`, false, signal, () => {
      const bytes = this.#find(name)
      if (offset + length > bytes.length)
        throw new PlatterError('ERR_STORE_IO', `'${name}' is shorter.`, { object: name })
      return bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>
    })
  }

  stat(name: string, { signal }: StoreCallOptions = {}): Promise<StoreStat | undefined> {
    return this.#call(`stat ${name}`, false, signal, () => {
      const bytes = this.#bucket.objects.get(name)
      return bytes === undefined ? undefined : { name, sizeBytes: bytes.length }
    })
  }

  async *list(prefix: string, { signal }: StoreCallOptions = {}): AsyncIterable<StoreStat> {
    const listing = await this.#call(`list ${prefix}`, false, signal, () => this.#bucket.beginListing(prefix))
    yield* await this.#call(`listed ${prefix}`, false, signal, () =>
      this.#bucket.endListing(listing, this.#random),
    )
  }

  putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    { signal }: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    // Sent now: the caller may use the memory again as soon as it has an answer, whenever this lands.
    const bytes = new Uint8Array(Buffer.concat(parts))
    return this.#call(`put ${name}`, true, signal, () => this.#bucket.put(name, bytes))
  }

  delete(name: string, { signal }: StoreCallOptions = {}): Promise<void> {
    return this.#call(`delete ${name}`, true, signal, () => this.#bucket.delete(name))
  }

  async close(): Promise<void> {}

  async #call<Result>(
    label: string,
    changes: boolean,
    signal: AbortSignal | undefined,
    effect: () => Result,
  ): Promise<Result> {
    signal?.throwIfAborted()
    const failure = (fate: Fate): PlatterError =>
      new PlatterError('ERR_STORE_IO', `Simulated: ${label} ${fate}.`, { object: label })
    const result = await this.#world.call(this.#actor, { label, changes, failure }, effect)
    // A call that is given up may have had its effect.
    if (signal?.aborted && this.#random.chance(0.5)) throw signal.reason
    return result
  }

  #find(name: string): Uint8Array {
    const bytes = this.#bucket.objects.get(name)
    if (bytes === undefined) throw new PlatterError('ERR_NOT_FOUND', `No '${name}'.`, { object: name })
    return bytes
  }
}

/** A way to a bucket on which everything happens at once: for what comes before, between and after a history. */
export class DirectStore implements Store {
  readonly label = 'simulated'
  readonly #bucket: Bucket

  constructor(bucket: Bucket) {
    this.#bucket = bucket
  }

  async get(name: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#find(name).slice() as Uint8Array<ArrayBuffer>
  }

  async getRange(name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#find(name).slice(offset, offset + length) as Uint8Array<ArrayBuffer>
  }

  async stat(name: string): Promise<StoreStat | undefined> {
    const bytes = this.#bucket.objects.get(name)
    return bytes === undefined ? undefined : { name, sizeBytes: bytes.length }
  }

  async *list(prefix: string): AsyncIterable<StoreStat> {
    for (const [name, { length }] of [...this.#bucket.objects])
      if (name.startsWith(prefix)) yield { name, sizeBytes: length }
  }

  async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    return this.#bucket.put(name, new Uint8Array(Buffer.concat(parts)))
  }

  async delete(name: string): Promise<void> {
    this.#bucket.delete(name)
  }

  async close(): Promise<void> {}

  #find(name: string): Uint8Array {
    const bytes = this.#bucket.objects.get(name)
    if (bytes === undefined) throw new PlatterError('ERR_NOT_FOUND', `No '${name}'.`, { object: name })
    return bytes
  }
}
