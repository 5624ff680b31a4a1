import type { Duplex } from 'node:stream'

/** A connection as exact numbers of bytes. One caller reads; any number write. */
export class SocketBytes {
  readonly socket: Duplex
  #failure: Error | undefined
  #wake: (() => void) | undefined
  #drained: Promise<void> | undefined

  constructor(socket: Duplex) {
    this.socket = socket
    const wake = (): void => {
      this.#wake?.()
      this.#wake = undefined
    }
    socket.on('readable', wake)
    socket.on('end', wake)
    socket.on('close', wake)
    socket.on('error', (error) => {
      this.#failure = error
      wake()
    })
  }

  /** Bytes that have come and were not read yet. */
  get buffered(): number {
    return this.socket.readableLength
  }

  /** Exactly `length` bytes; undefined when the connection ended before. */
  async read(length: number): Promise<Buffer | undefined> {
    if (length === 0) return Buffer.alloc(0)
    for (;;) {
      const bytes = this.socket.read(length) as Buffer | null
      // At the end of a stream what is left comes, however little it is.
      if (bytes !== null) return bytes.length === length ? bytes : undefined
      if (this.#ended()) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Reads bytes and drops them. */
  async skip(length: number): Promise<boolean> {
    for (let left = length; left > 0; ) {
      const bytes = await this.read(Math.min(left, 64 * 1024))
      if (bytes === undefined) return false
      left -= bytes.length
    }
    return true
  }

  /**
   * Queues parts as one piece. Resolves when more may be written; what the other end never takes is dropped.
   * `onSent` is called when the parts were handed to the system, and may be changed.
   */
  async write(parts: readonly Uint8Array[], onSent?: () => void): Promise<void> {
    if (this.#failure !== undefined || !this.socket.writable) return
    this.socket.cork()
    let room = true
    const last = parts.length - 1
    for (const [i, part] of parts.entries())
      room = this.socket.write(part, i === last ? (error) => error ?? onSent?.() : undefined)
    this.socket.uncork()
    if (!room) await this.#drain()
  }

  /** Ends the connection in order, after all that was written. What still comes is dropped, or it would never close. */
  end(): void {
    this.socket.removeAllListeners('readable')
    this.socket.resume()
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** Whether nothing more will come; what the client ended may still be answered. */
  #ended(): boolean {
    return this.#failure !== undefined || this.socket.destroyed || this.socket.readableEnded
  }

  #drain(): Promise<void> {
    this.#drained ??= new Promise<void>((resolve) => {
      const end = (): void => {
        this.#drained = undefined
        this.socket.off('drain', end)
        this.socket.off('close', end)
        resolve()
      }
      this.socket.on('drain', end)
      this.socket.on('close', end)
    })
    return this.#drained
  }

  /** Gives the socket away, to be wrapped in another: this object listens no more. */
  release(): Duplex {
    for (const event of ['readable', 'end', 'close'] as const) this.socket.removeAllListeners(event)
    return this.socket
  }
}
