import { type BlockTarget, PlatterError, type TargetCallOptions, type TargetInfo } from '@platter/core'

/** What goes wrong with a {@link FaultTarget}. */
export interface TargetFaults {
  /** So many bytes are taken by `write` and `zero`; then the target is full. Default: no limit. */
  readonly failAfterBytes?: number
  /** What is thrown then. Default: ERR_TARGET_FULL with the offset. */
  readonly error?: Error
  /** `prepare` throws this. */
  readonly prepareError?: Error
  /** `flush` throws this. */
  readonly flushError?: Error
}

/**
 * Wraps a target and lets writes fail as programmed. It has no `direct`, so that everything goes through `write`.
 *
 * @example
 * const target = new FaultTarget(new MemoryTarget(), { failAfterBytes: 1_000_000 })
 */
export class FaultTarget implements BlockTarget {
  readonly sequential: boolean
  readonly read?: (offset: number, into: Uint8Array, options?: TargetCallOptions) => Promise<number>
  readonly #inner: BlockTarget
  readonly #faults: TargetFaults
  #takenBytes = 0

  constructor(inner: BlockTarget, faults: TargetFaults) {
    this.#inner = inner
    this.#faults = faults
    this.sequential = inner.sequential
    if (inner.read) this.read = inner.read.bind(inner)
  }

  get info(): TargetInfo {
    return this.#inner.info
  }

  async prepare(
    imageBytes: number,
    options?: { readonly keepContent?: boolean },
  ): Promise<{ readonly blank: boolean }> {
    if (this.#faults.prepareError) throw this.#faults.prepareError
    return await this.#inner.prepare(imageBytes, options)
  }

  async write(offset: number, data: Uint8Array, options?: TargetCallOptions): Promise<void> {
    const taken = this.#take(data.length)
    if (taken > 0) await this.#inner.write(offset, data.subarray(0, taken), options)
    if (taken < data.length) throw this.#failure(offset + taken)
  }

  async zero(offset: number, length: number, options?: TargetCallOptions): Promise<void> {
    const taken = this.#take(length)
    if (taken > 0) await this.#inner.zero(offset, taken, options)
    if (taken < length) throw this.#failure(offset + taken)
  }

  async flush(): Promise<void> {
    if (this.#faults.flushError) throw this.#faults.flushError
    await this.#inner.flush()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #take(bytes: number): number {
    const left = (this.#faults.failAfterBytes ?? Number.POSITIVE_INFINITY) - this.#takenBytes
    const taken = Math.min(bytes, left)
    this.#takenBytes += taken
    return taken
  }

  #failure(offset: number): Error {
    if (this.#faults.error) return this.#faults.error
    const { label } = this.info
    return new PlatterError('ERR_TARGET_FULL', `Injected fault: '${label}' is full at byte ${offset}.`, {
      path: label,
      offset,
      systemCode: 'ENOSPC',
    })
  }
}
