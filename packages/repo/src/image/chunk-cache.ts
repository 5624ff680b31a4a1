/** Plaintext of the chunks read last, bounded in bytes; the one not used for longest goes first. */
export class ChunkCache {
  readonly #maxBytes: number
  readonly #chunks = new Map<string, Promise<Uint8Array>>()
  readonly #sizes = new Map<string, number>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether a chunk is there, or on its way. */
  has(key: string): boolean {
    return this.#chunks.has(key)
  }

  /** The chunk, from the cache or by `load`, which is called once however many ask at the same time. */
  async get(key: string, sizeBytes: number, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const cached = this.#chunks.get(key)
    if (cached !== undefined) {
      // A map keeps the order of insertion, so this makes it the newest.
      this.#chunks.delete(key)
      this.#chunks.set(key, cached)
      return await cached
    }
    const loading = load()
    this.#chunks.set(key, loading)
    this.#sizes.set(key, sizeBytes)
    this.#bytes += sizeBytes
    this.#evict(key)
    try {
      return await loading
    } catch (error) {
      // What could not be read is tried again the next time.
      this.#remove(key)
      throw error
    }
  }

  #evict(keep: string): void {
    for (const key of this.#chunks.keys()) {
      if (this.#bytes <= this.#maxBytes) return
      if (key !== keep) this.#remove(key)
    }
  }

  #remove(key: string): void {
    if (!this.#chunks.delete(key)) return
    this.#bytes -= this.#sizes.get(key)!
    this.#sizes.delete(key)
  }
}
