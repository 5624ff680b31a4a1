import type { BlockTarget } from '@platter/core'
import type { ReadTarget } from './compare-region.ts'
import { differingRuns } from './differing-runs.ts'
import { partsOf, type RestoreScope } from './restore-scope.ts'

/** A stretch is compared with the target in steps of this size. */
const COMPARE_BYTES = 4 * 1024 * 1024

/** What came of making a range read as zeros, in bytes. */
export interface ZeroOutcome {
  readonly zeroed: number
  readonly unchanged: number
}

/** Makes ranges of the image read as zeros on a target that takes writes in any order. */
export class TargetZeros {
  readonly #target: BlockTarget
  readonly #scope: RestoreScope
  readonly #read: ReadTarget
  readonly #signal: AbortSignal
  #wanted: Uint8Array | undefined
  #present: Uint8Array | undefined

  constructor(target: BlockTarget, scope: RestoreScope, read: ReadTarget, signal: AbortSignal) {
    this.#target = target
    this.#scope = scope
    this.#read = read
    this.#signal = signal
  }

  async zero(offset: number, length: number): Promise<void> {
    for (const part of partsOf(this.#scope, offset, length))
      await this.#target.zero(part.offset - this.#scope.offset, part.length, { signal: this.#signal })
  }

  /** Leaves alone what reads as zeros already, block by block. */
  async zeroDifferent(offset: number, length: number): Promise<ZeroOutcome> {
    let zeroed = 0
    let unchanged = 0
    for (const part of partsOf(this.#scope, offset, length)) {
      for (let done = 0; done < part.length; done += COMPARE_BYTES) {
        this.#signal.throwIfAborted()
        const step = Math.min(COMPARE_BYTES, part.length - done)
        const changed = await this.#zeroStep(part.offset - this.#scope.offset + done, step)
        zeroed += changed
        unchanged += step - changed
      }
    }
    return { zeroed, unchanged }
  }

  async #zeroStep(at: number, length: number): Promise<number> {
    this.#wanted ??= new Uint8Array(COMPARE_BYTES)
    this.#present ??= new Uint8Array(COMPARE_BYTES)
    const got = await this.#read(at, this.#present.subarray(0, length))
    let changed = 0
    for (const run of differingRuns(this.#wanted.subarray(0, length), this.#present.subarray(0, got))) {
      await this.#target.zero(at + run.offset, run.length, { signal: this.#signal })
      changed += run.length
    }
    return changed
  }
}
