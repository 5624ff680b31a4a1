import type { Store } from '@platter/core'
import type { OpenOptions } from '@platter/repo'
import { damageSomething } from './damage.ts'
import { DamagedLedger } from './damaged-ledger.ts'
import type { Ledger } from './ledger.ts'
import type { BucketMedium } from './medium.ts'
import type { RandomStream } from './random-stream.ts'

/** Damages objects in the course of a history, up to three times, and judges what becomes of it. */
export class Harm {
  readonly #medium: BucketMedium
  readonly #random: RandomStream
  readonly #judge: DamagedLedger
  readonly #perStep: number
  #left: number

  constructor(medium: BucketMedium, ledger: Ledger, options: OpenOptions, random: RandomStream) {
    this.#medium = medium
    this.#random = random
    this.#judge = new DamagedLedger(ledger, options)
    this.#perStep = random.pick([0.002, 0.01, 0.05])
    this.#left = random.between(1, 3)
  }

  get hasHappened(): boolean {
    return this.#judge.damages.length > 0
  }

  /** Whether something is damaged before the next step. */
  isDue(): boolean {
    return this.#left > 0 && this.#random.chance(this.#perStep)
  }

  /** Damages an object. @returns false when there is none that could be. */
  async happen(): Promise<boolean> {
    this.#left--
    const before = this.#medium.copy().directly()
    const damage = damageSomething(this.#medium, this.#random)
    if (damage === undefined) return false
    await this.#judge.add(damage, before, this.#medium.copy().directly())
    return true
  }

  /** @param store a copy. */
  async verify(store: Store): Promise<void> {
    await this.#judge.verify(store)
  }

  /** When all is quiet, what is left of the damages to come happens, and all that can be healed is. */
  async conclude(): Promise<void> {
    while (this.#left > 0) await this.happen()
    await this.#judge.conclude(this.#medium.directly())
  }
}
