/**
 * Memory that packs are read into, one after the other: a bounded number of buffers, made when they are first needed.
 * Whoever takes one waits until there is one.
 */
export class PackBuffers {
  readonly #limit: number
  readonly #bytes: number
  readonly #spare: ArrayBuffer[] = []
  readonly #waiting: Waiting[] = []
  #made = 0
  #ended: { readonly error: unknown } | undefined

  /** @param limit buffers at once, each of `bytes`. */
  constructor(limit: number, bytes: number) {
    this.#limit = limit
    this.#bytes = bytes
  }

  /** @throws what {@link end} was called with. */
  async take(): Promise<ArrayBuffer> {
    if (this.#ended !== undefined) throw this.#ended.error
    const spare = this.#spare.pop()
    if (spare !== undefined) return spare
    if (this.#made < this.#limit) {
      this.#made++
      return new ArrayBuffer(this.#bytes)
    }
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  /** Gives a buffer back to be used again. */
  give(buffer: ArrayBuffer): void {
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
  readonly resolve: (buffer: ArrayBuffer) => void
  readonly reject: (error: unknown) => void
}
