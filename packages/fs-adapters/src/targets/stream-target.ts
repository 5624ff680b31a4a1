import type { BlockTarget, TargetCallOptions, TargetInfo } from '@platter/core'
import { PlatterError } from '@platter/core'
import { abortable } from '../system/abortable.ts'
import { type PieceWriter, pieceWriter, type StreamOutput } from './piece-writer.ts'
import { assertImageRange, targetClosed, targetError } from './target-errors.ts'
import { ZEROS } from './zeros.ts'

/** Options of {@link StreamTarget}. */
export interface StreamTargetOptions {
  /** For messages. Default 'stream'. */
  readonly label?: string
}

/**
 * A stream that an image is written to from the first byte to the last; zeros are written like everything else.
 *
 * @example
 * const target = new StreamTarget(createGzip().pipe(createWriteStream('disk.raw.gz')))
 */
export class StreamTarget implements BlockTarget {
  readonly info: TargetInfo
  readonly sequential = true
  readonly #pieces: PieceWriter
  #imageBytes: number | undefined
  #position = 0
  #writing = false
  #failure: unknown
  #closed = false

  constructor(output: StreamOutput, options: StreamTargetOptions = {}) {
    this.#pieces = pieceWriter(output)
    this.info = { kind: 'stream', label: options.label ?? 'stream', capacityBytes: undefined }
  }

  /** A stream is never blank: every byte of the image has to be written or zeroed, in order. */
  async prepare(imageBytes: number): Promise<{ readonly blank: boolean }> {
    if (this.#closed) throw targetClosed(this.info.label)
    this.#imageBytes = imageBytes
    return { blank: false }
  }

  /**
   * Writes on. When it was aborted or failed, how much arrived is not known, so nothing more can be written.
   *
   * @throws ERR_TARGET_WRITE, ERR_TARGET_FULL; ERR_INVALID_ARGUMENT when `offset` is not where the last write ended.
   */
  async write(offset: number, data: Uint8Array, options: TargetCallOptions = {}): Promise<void> {
    this.#assertWritable(offset, data.length, options)
    await this.#exclusively(() => this.#append(data, options))
  }

  async zero(offset: number, length: number, options: TargetCallOptions = {}): Promise<void> {
    this.#assertWritable(offset, length, options)
    await this.#exclusively(async () => {
      for (let left = length; left > 0; left -= Math.min(left, ZEROS.length)) {
        options.signal?.throwIfAborted()
        await this.#append(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS, options)
      }
    })
  }

  async flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      await this.#pieces.sync?.()
    } catch (error) {
      this.#failure = targetError(error, 'make durable what was written to', this.info.label)
      throw this.#failure
    }
  }

  /** Ends the stream, or breaks it off when the image is not complete. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const isComplete = this.#failure === undefined && this.#position === this.#imageBytes
    if (!isComplete) return await this.#pieces.abort()
    try {
      await this.#pieces.end()
    } catch (error) {
      throw targetError(error, 'end', this.info.label, this.#position)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #assertWritable(offset: number, length: number, options: TargetCallOptions): void {
    const { label } = this.info
    options.signal?.throwIfAborted()
    if (this.#closed) throw targetClosed(label)
    if (this.#failure !== undefined) throw this.#failure
    assertImageRange(label, offset, length, this.#imageBytes)
    if (offset === this.#position && !this.#writing) return
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `A stream is written in one go: '${label}' stands at byte ${this.#position}, not at ${offset}.`,
      { path: label, offset, expected: this.#position },
    )
  }

  async #exclusively(work: () => Promise<void>): Promise<void> {
    this.#writing = true
    try {
      await work()
    } finally {
      this.#writing = false
    }
  }

  async #append(data: Uint8Array, options: TargetCallOptions): Promise<void> {
    try {
      await abortable(this.#pieces.write(data), options.signal)
      this.#position += data.length
    } catch (error) {
      this.#failure = options.signal?.aborted
        ? brokenOff(this.info.label, this.#position)
        : targetError(error, 'write to', this.info.label, this.#position)
      throw options.signal?.aborted ? error : this.#failure
    }
  }
}

function brokenOff(label: string, offset: number): PlatterError {
  return new PlatterError('ERR_TARGET_WRITE', `Writing to '${label}' was broken off at byte ${offset}.`, {
    path: label,
    offset,
  })
}
