/** Less is not worth keeping. */
const MIN_BYTES = 64 * 1024

/**
 * Memory of requests that were answered, for those that come: clearing new memory costs about as much as filling it.
 * Pieces have sizes that are powers of two, so that one fits many requests.
 */
export class SpareMemory {
  readonly #maxBytes: number
  readonly #pieces = new Map<number, Buffer[]>()
  #bytes = 0

  /** @param maxBytes how much is kept at most. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Memory of `length` bytes or more, with any content. */
  take(length: number): Buffer {
    if (length < MIN_BYTES) return Buffer.allocUnsafeSlow(length)
    const size = 2 ** Math.ceil(Math.log2(length))
    const piece = this.#pieces.get(size)?.pop()
    if (piece === undefined) return Buffer.allocUnsafeSlow(size)
    this.#bytes -= size
    return piece
  }

  /** Takes back what `take` gave, whole, when nobody uses it any more. */
  give(memory: Buffer): void {
    const size = memory.length
    if (size < MIN_BYTES || this.#bytes + size > this.#maxBytes) return
    this.#bytes += size
    const pieces = this.#pieces.get(size)
    if (pieces === undefined) this.#pieces.set(size, [memory])
    else pieces.push(memory)
  }
}
