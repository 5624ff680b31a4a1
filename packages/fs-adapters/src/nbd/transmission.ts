import { PlatterError } from '@platter/core'
import { statusPayload } from './block-status.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { NbdExport } from './nbd-export.ts'
import type { Agreement } from './negotiation.ts'
import { type Reply, SimpleReply, StructuredReply } from './replies.ts'
import type { SocketBytes } from './socket-bytes.ts'
import { SpareMemory } from './spare-memory.ts'
import { COMMAND, COMMAND_FLAG, ERRNO, MAX_PAYLOAD_BYTES, REQUEST_BYTES, REQUEST_MAGIC } from './wire.ts'

/** Requests of one client that are worked on at once. */
const MAX_IN_FLIGHT = 32
/** Memory of answered reads that a connection keeps for the next ones. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024

/** What a connection needs of its server. */
export interface TransmissionContext {
  /** Bounds the memory of all connections together. */
  readonly budget: ByteBudget
  /** Aborted when the server closes or the client has gone. */
  readonly signal: AbortSignal
  /** Told what a client was told to be an I/O error. */
  readonly onError: (error: unknown) => void
}

interface Request {
  readonly flags: number
  readonly command: number
  readonly offset: number
  readonly length: number
  readonly reply: Reply
}

/** The second phase of a connection: requests and replies, in any order, until the client leaves. */
export class Transmission {
  readonly #bytes: SocketBytes
  readonly #export: NbdExport
  readonly #agreement: Agreement
  readonly #context: TransmissionContext
  readonly #inFlight = new Set<Promise<void>>()
  readonly #spare = new SpareMemory(MAX_SPARE_BYTES)

  constructor(bytes: SocketBytes, offered: NbdExport, agreement: Agreement, context: TransmissionContext) {
    this.#bytes = bytes
    this.#export = offered
    this.#agreement = agreement
    this.#context = context
  }

  /** Serves until the client leaves, or breaks the protocol in a way after which nothing can be made out. */
  async run(): Promise<void> {
    try {
      while (!this.#context.signal.aborted && (await this.#next()));
    } finally {
      await Promise.all(this.#inFlight)
    }
  }

  /** Takes one request. @returns whether there may be more. */
  async #next(): Promise<boolean> {
    const header = await this.#bytes.read(REQUEST_BYTES)
    if (header === undefined || header.readUInt32BE(0) !== REQUEST_MAGIC) return false
    const request = this.#parse(header)
    if (request.command === COMMAND.disconnect) return false
    const payloadBytes = request.command === COMMAND.write ? request.length : 0
    // What follows would be taken for requests.
    if (payloadBytes > MAX_PAYLOAD_BYTES) return false
    const held = Math.min(request.length, MAX_PAYLOAD_BYTES)
    const isHeavy = request.command === COMMAND.read || request.command === COMMAND.write
    const release = await this.#context.budget.take(isHeavy ? held : 0)
    const payload = await this.#bytes.read(payloadBytes)
    if (payload === undefined) {
      release()
      return false
    }
    const work = this.#serve(request, payload).finally(() => {
      release()
      this.#inFlight.delete(work)
    })
    this.#inFlight.add(work)
    if (this.#inFlight.size >= MAX_IN_FLIGHT) await Promise.race(this.#inFlight)
    return true
  }

  #parse(header: Buffer): Request {
    const cookie = header.subarray(8, 16)
    const offset = header.readBigUInt64BE(16)
    return {
      flags: header.readUInt16BE(4),
      command: header.readUInt16BE(6),
      // Beyond any image all the same.
      offset: offset > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(offset),
      length: header.readUInt32BE(24),
      reply: this.#agreement.structured
        ? new StructuredReply(this.#bytes, cookie)
        : new SimpleReply(this.#bytes, cookie),
    }
  }

  /** Never rejects. */
  async #serve(request: Request, payload: Uint8Array): Promise<void> {
    try {
      const refusal = this.#refusal(request)
      if (refusal !== undefined) return await request.reply.error(...refusal)
      await this.#carryOut(request, payload)
    } catch (error) {
      this.#context.onError(error)
      await request.reply.error(...failureOf(error)).catch(() => this.#bytes.destroy())
    }
  }

  /** Why a request is not carried out: the protocol's number and words for it. */
  #refusal({ flags, command, offset, length }: Request): readonly [number, string] | undefined {
    const allowed = ALLOWED_FLAGS.get(command)
    if (allowed === undefined) return [ERRNO.invalid, `There is no command ${command}.`]
    if ((flags & ~allowed) !== 0) return [ERRNO.invalid, `The command does not take flags ${flags}.`]
    const { image, writable } = this.#export
    const changes = command === COMMAND.write || command === COMMAND.trim || command === COMMAND.writeZeroes
    if ((changes || command === COMMAND.flush) && writable === undefined)
      return [ERRNO.permission, 'The export is read-only.']
    if (command === COMMAND.flush) return undefined
    if (offset + length > image.sizeBytes) {
      const errno = changes ? ERRNO.noSpace : ERRNO.invalid
      return [errno, `The image ends at byte ${image.sizeBytes}.`]
    }
    if (command === COMMAND.read && length > MAX_PAYLOAD_BYTES)
      return [ERRNO.overflow, `At most ${MAX_PAYLOAD_BYTES} bytes are read at once.`]
    if (command !== COMMAND.blockStatus) return undefined
    return this.#agreement.contexts.length === 0 || length === 0
      ? [ERRNO.invalid, 'Block status needs a metadata context and a length.']
      : undefined
  }

  async #carryOut(request: Request, payload: Uint8Array): Promise<void> {
    const { flags, command, offset, length, reply } = request
    const writable = this.#export.writable!
    switch (command) {
      case COMMAND.read:
        return await this.#read(request)
      case COMMAND.blockStatus:
        return await this.#blockStatus(request)
      case COMMAND.cache:
        await this.#warm(offset, length)
        return await reply.done()
      case COMMAND.write:
        await writable.write(offset, payload)
        break
      case COMMAND.trim:
      case COMMAND.writeZeroes:
        await writable.zero(offset, length)
        break
    }
    if (command === COMMAND.flush || (flags & COMMAND_FLAG.fua) !== 0) await writable.flush()
    await reply.done()
  }

  async #read({ flags, offset, length, reply }: Request): Promise<void> {
    const { image } = this.#export
    const { signal } = this.#context
    const whole = !this.#agreement.structured || (flags & COMMAND_FLAG.df) !== 0
    const memory = this.#spare.take(length)
    const data = memory.subarray(0, length)
    const got = await image.readInto(offset, data, { signal })
    if (got !== length)
      throw new PlatterError('ERR_INTERNAL', `An image gave ${got} of ${length} bytes at ${offset}.`)
    await reply.data(offset, data, whole, () => this.#spare.give(memory))
  }

  async #blockStatus({ flags, offset, length, reply }: Request): Promise<void> {
    const one = (flags & COMMAND_FLAG.reqOne) !== 0
    const chunks: Uint8Array[] = []
    for (const [i, context] of this.#agreement.contexts.entries()) {
      const ranges = context.status(offset, length, this.#context.signal)
      chunks.push(await statusPayload(i + 1, ranges, one))
    }
    await reply.statuses(chunks)
  }

  /** Reads ahead what the client says it will want; the cache keeps what it has room for. */
  async #warm(offset: number, length: number): Promise<void> {
    const piece = Buffer.allocUnsafeSlow(Math.min(length, 1024 * 1024))
    for (let at = offset; at < offset + length && !this.#context.signal.aborted; at += piece.length) {
      await this.#export.image.readInto(at, piece.subarray(0, Math.min(piece.length, offset + length - at)))
    }
  }
}

const ALLOWED_FLAGS: ReadonlyMap<number, number> = new Map([
  [COMMAND.read, COMMAND_FLAG.df],
  [COMMAND.write, COMMAND_FLAG.fua],
  [COMMAND.flush, 0],
  [COMMAND.trim, COMMAND_FLAG.fua],
  [COMMAND.cache, 0],
  [COMMAND.writeZeroes, COMMAND_FLAG.fua | COMMAND_FLAG.noHole],
  [COMMAND.blockStatus, COMMAND_FLAG.reqOne],
])

function failureOf(error: unknown): readonly [number, string] {
  const message = error instanceof Error ? error.message : String(error)
  if (PlatterError.is(error, 'ERR_TARGET_FULL')) return [ERRNO.noSpace, message]
  if (PlatterError.is(error, 'ERR_CLOSED')) return [ERRNO.shutdown, message]
  return [ERRNO.io, message]
}
