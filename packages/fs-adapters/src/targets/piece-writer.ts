import { fsync, write } from 'node:fs'
import type { Writable } from 'node:stream'
import { systemCodeOf } from '@platter/core'

/**
 * Takes the pieces of a stream one by one. {@link StreamTarget} writes to any; the classes here adapt what Node
 * has.
 */
export interface PieceWriter {
  /** Settles when the stream does not need `bytes` any more. */
  write(bytes: Uint8Array): Promise<void>
  /** Makes what was written durable, where the stream can do that. */
  sync?(): Promise<void>
  /** Ends the stream as complete. */
  end(): Promise<void>
  /** Breaks the stream off, so that a reader that can tell does not take it for complete. */
  abort(): Promise<void>
}

/** What {@link StreamTarget} writes to: Node's and the web's streams, or an adapter. */
export type StreamOutput = Writable | WritableStream<Uint8Array> | PieceWriter

/** Adapts `output`. */
export function pieceWriter(output: StreamOutput): PieceWriter {
  if ('getWriter' in output) return new WebWriter(output)
  if ('writableEnded' in output) return new NodeWriter(output, { keepOpen: false })
  return output
}

/** A Writable of Node. With `keepOpen` it is neither ended nor destroyed, as fits standard output. */
export class NodeWriter implements PieceWriter {
  readonly #output: Writable
  readonly #keepOpen: boolean
  #failure: Error | undefined

  constructor(output: Writable, options: { readonly keepOpen: boolean }) {
    this.#output = output
    this.#keepOpen = options.keepOpen
    // Without a listener an error between two writes would end the process.
    output.on('error', (error) => {
      this.#failure ??= error
    })
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    // The callback, not the 'drain' event: before it the stream still reads the bytes.
    await new Promise<void>((resolve, reject) => {
      this.#output.write(bytes, (error) => (error ? reject(error) : resolve()))
    })
  }

  async end(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#keepOpen) return
    await new Promise<void>((resolve, reject) => {
      this.#output.once('error', reject)
      this.#output.end(() => resolve())
    })
  }

  async abort(): Promise<void> {
    if (!this.#keepOpen) this.#output.destroy()
  }
}

class WebWriter implements PieceWriter {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>

  constructor(output: WritableStream<Uint8Array>) {
    this.#writer = output.getWriter()
    this.#writer.closed.catch(() => {}) // told by the next write
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#writer.write(bytes)
  }

  async end(): Promise<void> {
    await this.#writer.close()
  }

  async abort(): Promise<void> {
    await this.#writer.abort().catch(() => {})
  }
}

/** A descriptor of a file or device, from where it stands, as in `program > file`. It is not closed. */
export class DescriptorWriter implements PieceWriter {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) done += await this.#writeSome(bytes.subarray(done))
  }

  async sync(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      // EINVAL: what is open there, such as /dev/null, has nothing to sync.
      fsync(this.#fd, (error) => (error && systemCodeOf(error) !== 'EINVAL' ? reject(error) : resolve()))
    })
  }

  async end(): Promise<void> {}

  async abort(): Promise<void> {}

  #writeSome(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, 0, bytes.length, null, (error, count) => {
        if (error) reject(error)
        else if (count === 0) reject(new Error('nothing was written, and no reason given'))
        else resolve(count)
      })
    })
  }
}
