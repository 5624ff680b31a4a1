/** How long back a speed is measured: long enough to be steady, short enough to follow a change. */
const WINDOW_MILLIS = 10_000
const SAMPLE_MILLIS = 200

interface Sample {
  readonly time: number
  readonly done: number
  readonly moved: number
}

/** Speed over the last seconds, of the work done and of the bytes moved for it. */
export class RateMeter {
  #samples: Sample[] = []

  /** Takes note of how far things are; `time` in milliseconds. */
  add(time: number, done: number, moved: number): void {
    const sample = { time, done, moved }
    const beforeLast = this.#samples.at(-2)
    // The newest sample always stands at the end; it is kept once it is far enough from the one before.
    if (beforeLast !== undefined && time - beforeLast.time < SAMPLE_MILLIS) this.#samples.pop()
    this.#samples.push(sample)
    while (this.#samples.length > 2 && time - this.#samples[1]!.time > WINDOW_MILLIS) this.#samples.shift()
  }

  /** Bytes moved a second; undefined until there is something to measure. */
  movedPerSecond(): number | undefined {
    return this.#perSecond((sample) => sample.moved)
  }

  /** Seconds until `total` is done, if it goes on like this. */
  secondsLeft(total: number): number | undefined {
    const speed = this.#perSecond((sample) => sample.done)
    const last = this.#samples.at(-1)
    if (speed === undefined || speed <= 0 || last === undefined) return undefined
    return Math.max(0, total - last.done) / speed
  }

  #perSecond(amount: (sample: Sample) => number): number | undefined {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.time - first.time < SAMPLE_MILLIS) return undefined
    return ((amount(last) - amount(first)) / (last.time - first.time)) * 1000
  }
}
