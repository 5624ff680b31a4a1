import { read } from 'node:fs'
import { PlatterError } from '@platter/core'

/** Gives the pieces of a stream one by one. {@link StreamSource} takes any; the classes here adapt what Node has. */
export interface PieceReader {
  /** The next piece, valid until the next call; undefined at the end. An empty piece is no end. */
  next(): Promise<Uint8Array | undefined>
  /** Stops and frees the stream, also while a piece is awaited. */
  close(): Promise<void>
}

/** What {@link StreamSource} reads from: Node's and the web's streams, and any other iterable of bytes. */
export type StreamInput = AsyncIterable<Uint8Array> | ReadableStream<Uint8Array> | PieceReader

/** Adapts `input`. */
export function pieceReader(input: StreamInput): PieceReader {
  if ('getReader' in input) return new WebPieces(input)
  if (Symbol.asyncIterator in input) return new IterablePieces(input)
  return input
}

class IterablePieces implements PieceReader {
  readonly #input: AsyncIterable<Uint8Array>
  readonly #iterator: AsyncIterator<Uint8Array>

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input
    this.#iterator = input[Symbol.asyncIterator]()
  }

  async next(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#iterator.next()
    return done ? undefined : bytesOf(value)
  }

  async close(): Promise<void> {
    // Not awaited: a generator that hangs in a read answers only when that ends.
    this.#iterator.return?.().catch(() => {})
    if ('destroy' in this.#input && typeof this.#input.destroy === 'function') this.#input.destroy()
  }
}

class WebPieces implements PieceReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>

  constructor(input: ReadableStream<Uint8Array>) {
    this.#reader = input.getReader()
  }

  async next(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#reader.read()
    return done ? undefined : bytesOf(value)
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => {})
  }
}

const FILE_PIECE_BYTES = 4 * 1024 * 1024

/** A descriptor of a file or block device, from where it stands, as in `program < file`. It is not closed. */
export class DescriptorPieces implements PieceReader {
  readonly #fd: number
  readonly #buffer = new Uint8Array(FILE_PIECE_BYTES)

  constructor(fd: number) {
    this.#fd = fd
  }

  async next(): Promise<Uint8Array | undefined> {
    const bytesRead = await new Promise<number>((resolve, reject) => {
      read(this.#fd, this.#buffer, 0, FILE_PIECE_BYTES, null, (error, count) =>
        error ? reject(error) : resolve(count),
      )
    })
    return bytesRead === 0 ? undefined : this.#buffer.subarray(0, bytesRead)
  }

  async close(): Promise<void> {}
}

function bytesOf(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new PlatterError('ERR_SOURCE_UNSUPPORTED', 'The stream gives text or objects; an image is bytes.')
}
