import type { RepairIndexOptions, RepairProgress } from '../api/repair-types.ts'

/** Tells a caller how far a repair has come, not more often than it wants to know. */
export class RepairReporter {
  readonly #options: RepairIndexOptions
  #last = 0
  bytesRead = 0

  constructor(options: RepairIndexOptions) {
    this.#options = options
  }

  tell(phase: RepairProgress['phase'], done: number, total: number | undefined): void {
    const { onProgress, progressMillis = 100 } = this.#options
    const now = performance.now()
    const isEnd = total !== undefined && done >= total
    if (onProgress === undefined || (now - this.#last < progressMillis && !isEnd)) return
    this.#last = now
    onProgress({ phase, done, total, bytesRead: this.bytesRead })
  }
}
