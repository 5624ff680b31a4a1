/**
 * Memory of the packs of one backup. There is one for each worker to fill, and half as many again that are on
 * their way to the store; a worker that asks for more waits until one of those has arrived there.
 */
export class PackMemory {
  readonly #limit: number
  readonly #give: (worker: number, memory: ArrayBuffer) => void
  readonly #spare: ArrayBuffer[] = []
  readonly #waiting: number[] = []
  #made = 0

  constructor(workers: number, give: (worker: number, memory: ArrayBuffer) => void) {
    this.#limit = workers + Math.ceil(workers / 2)
    this.#give = give
  }

  /** A worker needs memory of `bytes`, the same for all; it is given now or later. */
  request(worker: number, bytes: number): void {
    const spare = this.#spare.pop()
    if (spare !== undefined) {
      this.#give(worker, spare)
    } else if (this.#made < this.#limit) {
      this.#made++
      this.#give(worker, new ArrayBuffer(bytes))
    } else {
      this.#waiting.push(worker)
    }
  }

  /** A pack is stored, and its memory free again. */
  release(memory: ArrayBuffer): void {
    const worker = this.#waiting.shift()
    if (worker === undefined) this.#spare.push(memory)
    else this.#give(worker, memory)
  }
}
