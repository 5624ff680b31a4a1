import type { BlockTarget, TargetCallOptions, TargetInfo } from '@platter/core'
import { assertImageRange, targetTooSmall } from './target-errors.ts'

/** Options of {@link MemoryTarget}. */
export interface MemoryTargetOptions {
  /** For messages. Default 'memory'. */
  readonly label?: string
  /** What is there at first, as on a used disk. Default: nothing. Not copied, and replaced by `prepare`. */
  readonly content?: Uint8Array
  /** Largest image that is taken. Default: any. */
  readonly capacityBytes?: number
}

/** A target in memory; {@link MemoryTarget.bytes} is the image. */
export class MemoryTarget implements BlockTarget {
  readonly info: TargetInfo
  readonly sequential = false
  #bytes: Uint8Array
  #imageBytes: number | undefined

  constructor(options: MemoryTargetOptions = {}) {
    this.#bytes = options.content ?? new Uint8Array(0)
    this.info = { kind: 'memory', label: options.label ?? 'memory', capacityBytes: options.capacityBytes }
  }

  /** The image as written so far. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  async prepare(
    imageBytes: number,
    options: { readonly keepContent?: boolean } = {},
  ): Promise<{ readonly blank: boolean }> {
    const { label, capacityBytes } = this.info
    if (capacityBytes !== undefined && imageBytes > capacityBytes) {
      throw targetTooSmall(label, imageBytes, capacityBytes)
    }
    const kept = options.keepContent ? this.#bytes.subarray(0, imageBytes) : new Uint8Array(0)
    this.#bytes = new Uint8Array(imageBytes)
    this.#bytes.set(kept)
    this.#imageBytes = imageBytes
    return { blank: kept.length === 0 }
  }

  async write(offset: number, data: Uint8Array, options: TargetCallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    assertImageRange(this.info.label, offset, data.length, this.#imageBytes)
    this.#bytes.set(data, offset)
  }

  async zero(offset: number, length: number, options: TargetCallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    assertImageRange(this.info.label, offset, length, this.#imageBytes)
    this.#bytes.fill(0, offset, offset + length)
  }

  async read(offset: number, into: Uint8Array, options: TargetCallOptions = {}): Promise<number> {
    options.signal?.throwIfAborted()
    const piece = this.#bytes.subarray(offset, offset + into.length)
    into.set(piece)
    return piece.length
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
