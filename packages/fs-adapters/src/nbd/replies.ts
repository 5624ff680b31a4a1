import { assert } from '@platter/core'
import type { SocketBytes } from './socket-bytes.ts'
import { CHUNK, CHUNK_DONE, CHUNK_MAGIC, ERRNO, MAX_STRING_BYTES, SIMPLE_REPLY_MAGIC } from './wire.ts'

/** Zeros at least so long are sent as a hole. */
const HOLE_BYTES = 64 * 1024
const ZEROS: Buffer = Buffer.alloc(HOLE_BYTES)

/** The answer to one request, in one of the protocol's two forms. */
export interface Reply {
  /** Done, and nothing to say. */
  done(): Promise<void>
  /** What was read. With `whole` it goes in one piece. `onSent` is called when the data is not needed any more. */
  data(offset: number, data: Buffer, whole: boolean, onSent: () => void): Promise<void>
  /** Payloads about block status, one for each context. */
  statuses(payloads: readonly Uint8Array[]): Promise<void>
  error(errno: number, message: string): Promise<void>
}

/** A reply of one header, before the data. Knows numbers for errors, no words. */
export class SimpleReply implements Reply {
  readonly #bytes: SocketBytes
  readonly #cookie: Uint8Array

  constructor(bytes: SocketBytes, cookie: Uint8Array) {
    this.#bytes = bytes
    this.#cookie = cookie
  }

  async done(): Promise<void> {
    await this.#bytes.write([this.#header(0)])
  }

  async data(_offset: number, data: Buffer, _whole: boolean, onSent: () => void): Promise<void> {
    await this.#bytes.write([this.#header(0), data], onSent)
  }

  async statuses(): Promise<void> {
    assert(false, 'a client without structured replies has no metadata contexts')
  }

  async error(errno: number): Promise<void> {
    // EOVERFLOW is known to clients with structured replies only.
    await this.#bytes.write([this.#header(errno === ERRNO.overflow ? ERRNO.invalid : errno)])
  }

  #header(errno: number): Buffer {
    const header = Buffer.alloc(16)
    header.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0)
    header.writeUInt32BE(errno, 4)
    header.set(this.#cookie, 8)
    return header
  }
}

/** A reply of chunks: data, holes, status, or an error with words. */
export class StructuredReply implements Reply {
  readonly #bytes: SocketBytes
  readonly #cookie: Uint8Array

  constructor(bytes: SocketBytes, cookie: Uint8Array) {
    this.#bytes = bytes
    this.#cookie = cookie
  }

  async done(): Promise<void> {
    await this.#bytes.write(this.#chunk(CHUNK.none, true, []))
  }

  async data(offset: number, data: Buffer, whole: boolean, onSent: () => void): Promise<void> {
    const parts: Uint8Array[] = []
    const pieces = whole ? [{ from: 0, to: data.length, zero: false }] : splitAtZeros(data)
    for (const [i, { from, to, zero }] of pieces.entries()) {
      const last = i === pieces.length - 1
      const place = Buffer.alloc(zero ? 12 : 8)
      place.writeBigUInt64BE(BigInt(offset + from), 0)
      if (zero) place.writeUInt32BE(to - from, 8)
      parts.push(
        ...(zero
          ? this.#chunk(CHUNK.offsetHole, last, [place])
          : this.#chunk(CHUNK.offsetData, last, [place, data.subarray(from, to)])),
      )
    }
    if (parts.length === 0) return await this.done()
    await this.#bytes.write(parts, onSent)
  }

  async statuses(payloads: readonly Uint8Array[]): Promise<void> {
    const last = payloads.length - 1
    await this.#bytes.write(
      payloads.flatMap((payload, i) => this.#chunk(CHUNK.blockStatus, i === last, [payload])),
    )
  }

  async error(errno: number, message: string): Promise<void> {
    const words = Buffer.from(message, 'utf8').subarray(0, MAX_STRING_BYTES)
    const head = Buffer.alloc(6)
    head.writeUInt32BE(errno, 0)
    head.writeUInt16BE(words.length, 4)
    await this.#bytes.write(this.#chunk(CHUNK.error, true, [head, words]))
  }

  #chunk(type: number, done: boolean, payload: readonly Uint8Array[]): Uint8Array[] {
    const header = Buffer.alloc(20)
    header.writeUInt32BE(CHUNK_MAGIC, 0)
    header.writeUInt16BE(done ? CHUNK_DONE : 0, 4)
    header.writeUInt16BE(type, 6)
    header.set(this.#cookie, 8)
    header.writeUInt32BE(
      payload.reduce((sum, part) => sum + part.length, 0),
      16,
    )
    return [header, ...payload]
  }
}

/** Stretches of data and of zeros, in turn. Only zeros in whole steps of {@link HOLE_BYTES} are looked for. */
function splitAtZeros(data: Buffer): { from: number; to: number; zero: boolean }[] {
  const pieces: { from: number; to: number; zero: boolean }[] = []
  for (let from = 0; from < data.length; from += HOLE_BYTES) {
    const to = Math.min(data.length, from + HOLE_BYTES)
    const zero = to - from === HOLE_BYTES && ZEROS.equals(data.subarray(from, to))
    const last = pieces.at(-1)
    if (last !== undefined && last.zero === zero) last.to = to
    else pieces.push({ from, to, zero })
  }
  return pieces
}
