import { ensure } from '../common/survey-error.ts'
import type { FreeRun } from './free-space-tree.ts'

/** 128 MiB; a group of 1 TiB in which every eighth block of 4 KiB begins a run of free ones has no more. */
const MAX_RUNS = 2 ** 24

/** The free runs of one group, ascending. */
export class FreeRuns {
  #starts = new Uint32Array(64)
  #counts = new Uint32Array(64)
  #length = 0
  #blockCount = 0
  #longest = 0

  get length(): number {
    return this.#length
  }

  /** Blocks in all runs. */
  get blockCount(): number {
    return this.#blockCount
  }

  /** Blocks in the longest run. */
  get longest(): number {
    return this.#longest
  }

  /** @throws SurveyError `too-costly` */
  add({ start, count }: FreeRun): void {
    if (this.#length === this.#starts.length) {
      ensure(this.#length < MAX_RUNS, 'too-costly', `a group has more than ${MAX_RUNS} runs of free blocks`)
      this.#starts = grown(this.#starts)
      this.#counts = grown(this.#counts)
    }
    this.#starts[this.#length] = start
    this.#counts[this.#length] = count
    this.#length++
    this.#blockCount += count
    this.#longest = Math.max(this.#longest, count)
  }

  /** The last run that begins at a block or before it. */
  lastUpTo(block: number): FreeRun | undefined {
    let [low, high] = [0, this.#length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#starts[middle]! <= block) low = middle + 1
      else high = middle
    }
    return low === 0 ? undefined : { start: this.#starts[low - 1]!, count: this.#counts[low - 1]! }
  }

  /** Whether any of `count` blocks from `start` on is free. */
  hasAnyOf(start: number, count: number): boolean {
    const run = this.lastUpTo(start + count - 1)
    return run !== undefined && run.start + run.count > start
  }

  *[Symbol.iterator](): Generator<FreeRun> {
    for (let i = 0; i < this.#length; i++) yield { start: this.#starts[i]!, count: this.#counts[i]! }
  }
}

function grown(numbers: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(numbers.length * 2)
  larger.set(numbers)
  return larger
}
