import { Socket } from 'node:net'
import type { LinuxCalls } from '../system/linux-calls.ts'
import type { PieceReader } from './piece-reader.ts'

const PIPE_BYTES = 1024 * 1024

/**
 * A pipe, FIFO or socket, read into one large buffer. It is polled, not waited for in a thread: a thread that
 * hangs in a read can be neither aborted nor ended, and keeps the whole process from exiting.
 */
export class PipePieces implements PieceReader {
  readonly #socket: Socket
  #piece: Uint8Array | undefined
  #failure: Error | undefined
  #ended = false
  #wake: (() => void) | undefined

  /** Takes over `fd` and closes it in the end. */
  constructor(fd: number, calls: LinuxCalls | undefined) {
    try {
      calls?.setPipeBytes(fd, PIPE_BYTES)
    } catch {
      // A socket, or more than this user may have: it works as it is.
    }
    const buffer = new Uint8Array(PIPE_BYTES)
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer,
        callback: (count) => {
          this.#piece = buffer.subarray(0, count)
          this.#notify()
          return false // no more before the piece was used: there is one buffer
        },
      },
    })
    this.#socket.pause()
    this.#socket.on('end', () => {
      this.#ended = true
      this.#notify()
    })
    this.#socket.on('error', (error) => {
      this.#failure = error
      this.#notify()
    })
    this.#socket.on('close', () => {
      if (!this.#ended) this.#failure ??= new Error('it was closed before its end')
      this.#notify()
    })
  }

  async next(): Promise<Uint8Array | undefined> {
    this.#piece = undefined
    if (!this.#ended && this.#failure === undefined) {
      this.#socket.resume()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#failure !== undefined) throw this.#failure
    return this.#piece
  }

  async close(): Promise<void> {
    this.#socket.destroy()
  }

  #notify(): void {
    this.#wake?.()
    this.#wake = undefined
  }
}
