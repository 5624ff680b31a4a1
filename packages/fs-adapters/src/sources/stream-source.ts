import type { BlockSource, Extent, SourceCallOptions, SourceInfo } from '@platter/core'
import { PlatterError } from '@platter/core'
import { abortable } from '../system/abortable.ts'
import { type PieceReader, pieceReader, type StreamInput } from './piece-reader.ts'
import { sourceChanged, sourceClosed, sourceReadError } from './source-errors.ts'

/** Options of {@link StreamSource}. */
export interface StreamSourceOptions {
  /** For messages. Default 'stream'. */
  readonly label?: string
  /**
   * Size of the image in bytes where it is known, such as the Content-Length of a download. A stream that ends
   * earlier or later is refused; without it, one that was cut off cannot be told from one that ended.
   */
  readonly sizeBytes?: number
}

/**
 * An image that comes as a stream of bytes and is read once, from the first byte to the last.
 *
 * @example
 * const source = new StreamSource(createReadStream('disk.raw').pipe(createGunzip()))
 */
export class StreamSource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = true
  readonly #pieces: PieceReader
  #position = 0
  #piece: Uint8Array | undefined = new Uint8Array(0)
  /** What was asked for and has not come; kept for the next call when one was aborted. */
  #pending: Promise<Uint8Array | undefined> | undefined
  #reading = false
  #failure: unknown
  #closed = false

  constructor(input: StreamInput, options: StreamSourceOptions = {}) {
    this.#pieces = pieceReader(input)
    this.info = {
      kind: 'stream',
      label: options.label ?? 'stream',
      sizeBytes: options.sizeBytes,
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
    }
  }

  /** Not for streams. @throws ERR_INVALID_ARGUMENT */
  // biome-ignore lint/correctness/useYield: a stream has no extents to give.
  async *extents(): AsyncIterable<Extent> {
    throw new PlatterError('ERR_INVALID_ARGUMENT', 'A stream has no extents; it can only be read.', {
      path: this.info.label,
    })
  }

  /**
   * Reads on. An aborted call leaves nothing lost: the next one gives what it was waiting for.
   *
   * @throws ERR_SOURCE_READ; ERR_SOURCE_CHANGED when the stream does not have the size that was announced;
   * ERR_INVALID_ARGUMENT when `offset` is not where the last read ended.
   */
  async read(offset: number, into: Uint8Array, options: SourceCallOptions = {}): Promise<number> {
    options.signal?.throwIfAborted()
    this.#assertReadable(offset)
    this.#reading = true
    try {
      while (this.#piece?.length === 0 && into.length > 0) this.#piece = await this.#nextPiece(options)
    } finally {
      this.#reading = false
    }
    if (this.#piece === undefined) return 0
    const count = Math.min(into.length, this.#piece.length)
    into.set(count === this.#piece.length ? this.#piece : this.#piece.subarray(0, count))
    this.#piece = this.#piece.subarray(count)
    this.#position += count
    return count
  }

  /** @throws ERR_SOURCE_CHANGED when the stream failed or was cut off, or did not come to its end. */
  async assertUnchanged(): Promise<void> {
    const { label } = this.info
    if (this.#failure !== undefined) {
      throw sourceChanged(label, 'the stream was cut off', { offset: this.#position })
    }
    if (this.#piece?.length === 0) this.#piece = await this.#nextPiece({})
    if (this.#piece !== undefined) {
      throw sourceChanged(label, `it goes on behind byte ${this.#position}`, { offset: this.#position })
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#pieces.close()
    this.#pending?.catch(() => {}) // nobody will ask for it
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #assertReadable(offset: number): void {
    if (this.#closed) throw sourceClosed(this.info.label)
    if (this.#failure !== undefined) throw this.#failure
    if (offset === this.#position && !this.#reading) return
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `A stream is read in one go: '${this.info.label}' stands at byte ${this.#position}, not at ${offset}.`,
      { path: this.info.label, offset, expected: this.#position },
    )
  }

  async #nextPiece(options: SourceCallOptions): Promise<Uint8Array | undefined> {
    const { label, sizeBytes } = this.info
    this.#pending ??= this.#pieces.next()
    try {
      const piece = await abortable(this.#pending, options.signal)
      this.#pending = undefined
      const endBytes = this.#position + (piece?.length ?? 0)
      if (sizeBytes !== undefined && (piece === undefined ? endBytes < sizeBytes : endBytes > sizeBytes)) {
        throw sourceChanged(label, `${sizeBytes} bytes were announced, and there are ${endBytes}`, {
          offset: this.#position,
          expected: sizeBytes,
          actual: endBytes,
        })
      }
      return piece
    } catch (error) {
      if (options.signal?.aborted) throw error
      this.#failure = sourceReadError(error, label, this.#position)
      throw this.#failure
    }
  }
}
