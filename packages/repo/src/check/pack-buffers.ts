/**
 * Memory that packs are read into, one after the other: a bounded number of buffers, made when they are first needed.
 * Whoever takes one waits until there is one. It is shared with workers: memory that travels to them and back makes the
 * garbage collector of each thread that it comes by look for what could be freed.
 */
export class PackBuffers {
  readonly #limit: number
  readonly #bytes: number
  readonly #spare: Uint8Array[] = []
  readonly #waiting: Waiting[] = []
  #made = 0
  #ended: { readonly error: unknown } | undefined

  /** @param limit buffers at once, each of `bytes`. */
  constructor(limit: number, bytes: number) {
    this.#limit = limit
    this.#bytes = bytes
  }

  /** @throws what {@link end} was called with. */
  async take(): Promise<Uint8Array> {
    if (this.#ended !== undefined) throw this.#ended.error
    const spare = this.#spare.pop()
    if (spare !== undefined) return spare
    if (this.#made < this.#limit) {
      this.#made++
      return new Uint8Array(new SharedArrayBuffer(this.#bytes))
    }
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  /** Gives a buffer back to be used again. */
  give(buffer: Uint8Array): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#spare.push(buffer)
    else next.resolve(buffer)
  }

  /** There will be no more: everybody who waits, or comes later, gets the error. */
  end(error: unknown): void {
    this.#ended ??= { error }
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

interface Waiting {
  readonly resolve: (buffer: Uint8Array) => void
  readonly reject: (error: unknown) => void
}
