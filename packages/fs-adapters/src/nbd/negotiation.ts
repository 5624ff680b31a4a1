import type { NbdContext, NbdExport } from './nbd-export.ts'
import type { SocketBytes } from './socket-bytes.ts'
import {
  GREETING_MAGIC,
  HANDSHAKE,
  INFO,
  MAX_PAYLOAD_BYTES,
  MAX_STRING_BYTES,
  OPTION,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_MAGIC,
  TRANSMISSION,
} from './wire.ts'

/** Longest data of an option that is looked at. */
const MAX_OPTION_BYTES = 64 * 1024
/** Longest data of an option that is read at all; a client that sends more is cut off. */
const MAX_SKIPPED_BYTES = 1024 * 1024
/** Options of one client. */
const MAX_OPTIONS = 256
/** Reads and writes are fastest in multiples of this. */
const PREFERRED_BLOCK_BYTES = 64 * 1024

/** What client and server agreed on. */
export interface Agreement {
  readonly structured: boolean
  /** Contexts that the client chose; their ids are their places, counted from 1. */
  readonly contexts: readonly NbdContext[]
}

/** Goes on with the same connection under TLS. */
export type StartTls = (bytes: SocketBytes) => Promise<SocketBytes>

/** Where a negotiation led: to an agreement over a connection, or to its end. */
export type Outcome = { readonly bytes: SocketBytes; readonly agreement: Agreement } | undefined

/**
 * The first phase of a connection, "fixed newstyle": the client asks for options until it takes the export or leaves.
 *
 * @param startTls makes TLS possible and, until the client has started it, everything else impossible.
 * @returns undefined when the client left, or did not keep to the protocol.
 */
export async function negotiate(
  bytes: SocketBytes,
  offered: NbdExport,
  startTls: StartTls | undefined,
): Promise<Outcome> {
  return await new Negotiation(bytes, offered, startTls).run()
}

class Negotiation {
  #bytes: SocketBytes
  readonly #export: NbdExport
  readonly #startTls: StartTls | undefined
  #secure = false
  #noZeroes = false
  #structured = false
  #contexts: readonly NbdContext[] = []

  constructor(bytes: SocketBytes, offered: NbdExport, startTls: StartTls | undefined) {
    this.#bytes = bytes
    this.#export = offered
    this.#startTls = startTls
  }

  async run(): Promise<Outcome> {
    const greeting = Buffer.alloc(18)
    greeting.writeBigUInt64BE(GREETING_MAGIC, 0)
    greeting.writeBigUInt64BE(OPTION_MAGIC, 8)
    greeting.writeUInt16BE(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes, 16)
    await this.#bytes.write([greeting])
    const flags = (await this.#bytes.read(4))?.readUInt32BE(0)
    if (flags === undefined || (flags & ~(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes)) !== 0)
      return undefined
    this.#noZeroes = (flags & HANDSHAKE.noZeroes) !== 0
    for (let count = 0; count < MAX_OPTIONS; count++) {
      const done = await this.#nextOption()
      if (done === 'end') return undefined
      if (done === 'agreed') {
        return { bytes: this.#bytes, agreement: { structured: this.#structured, contexts: this.#contexts } }
      }
    }
    return undefined
  }

  async #nextOption(): Promise<'more' | 'agreed' | 'end'> {
    const header = await this.#bytes.read(OPTION_HEADER_BYTES)
    if (header === undefined || header.readBigUInt64BE(0) !== OPTION_MAGIC) return 'end'
    const option = header.readUInt32BE(8)
    const length = header.readUInt32BE(12)
    if (length > MAX_OPTION_BYTES) {
      if (length > MAX_SKIPPED_BYTES || !(await this.#bytes.skip(length))) return 'end'
      if (option === OPTION.exportName) return 'end'
      await this.#refuse(option, OPTION_REPLY.tooBig, 'That option is too long.')
      return 'more'
    }
    const data = await this.#bytes.read(length)
    if (data === undefined) return 'end'
    if (option === OPTION.abort) {
      await this.#reply(option, OPTION_REPLY.ack)
      return 'end'
    }
    if (this.#startTls !== undefined && !this.#secure && option !== OPTION.startTls) {
      if (option === OPTION.exportName) return 'end'
      await this.#refuse(option, OPTION_REPLY.tlsRequired, 'This server wants TLS.')
      return 'more'
    }
    return await this.#answer(option, data)
  }

  async #answer(option: number, data: Buffer): Promise<'more' | 'agreed' | 'end'> {
    switch (option) {
      case OPTION.exportName:
        return await this.#exportName(data)
      case OPTION.list:
        await this.#list(data)
        return 'more'
      case OPTION.startTls:
        return await this.#secureConnection(data)
      case OPTION.info:
      case OPTION.go:
        return await this.#info(option, data)
      case OPTION.structuredReply:
        if (data.length > 0) await this.#refuse(option, OPTION_REPLY.invalid, 'That option takes no data.')
        else {
          this.#structured = true
          await this.#reply(option, OPTION_REPLY.ack)
        }
        return 'more'
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        await this.#metaContexts(option, data)
        return 'more'
      default:
        await this.#refuse(option, OPTION_REPLY.unsupported, 'This server does not know that option.')
        return 'more'
    }
  }

  /** The old way to take an export: without a way to be told that there is none. */
  async #exportName(name: Buffer): Promise<'agreed' | 'end'> {
    if (!this.#isOurs(name)) return 'end'
    const reply = Buffer.alloc(this.#noZeroes ? 10 : 134)
    reply.writeBigUInt64BE(BigInt(this.#export.image.sizeBytes), 0)
    reply.writeUInt16BE(this.#flags(), 8)
    await this.#bytes.write([reply])
    return 'agreed'
  }

  async #list(data: Buffer): Promise<void> {
    if (data.length > 0)
      return await this.#refuse(OPTION.list, OPTION_REPLY.invalid, 'That option takes no data.')
    await this.#reply(OPTION.list, OPTION_REPLY.server, [
      counted(this.#export.name),
      text(this.#export.description),
    ])
    await this.#reply(OPTION.list, OPTION_REPLY.ack)
  }

  async #secureConnection(data: Buffer): Promise<'more' | 'end'> {
    const option = OPTION.startTls
    if (this.#startTls === undefined) {
      await this.#refuse(option, OPTION_REPLY.policy, 'This server was given no certificate.')
      return 'more'
    }
    if (data.length > 0 || this.#secure) {
      await this.#refuse(option, OPTION_REPLY.invalid, 'TLS takes no data, and is started once.')
      return 'more'
    }
    // Whatever was sent ahead of TLS may be anybody's, and must not be taken for the client's words under TLS.
    if (this.#bytes.buffered > 0) return 'end'
    await this.#reply(option, OPTION_REPLY.ack)
    this.#bytes = await this.#startTls(this.#bytes)
    this.#secure = true
    this.#structured = false
    this.#contexts = []
    return 'more'
  }

  async #info(option: number, data: Buffer): Promise<'more' | 'agreed'> {
    const nameBytes = data.length >= 4 ? data.readUInt32BE(0) : Number.POSITIVE_INFINITY
    const countAt = 4 + nameBytes
    if (countAt + 2 > data.length || countAt + 2 + 2 * data.readUInt16BE(countAt) !== data.length) {
      await this.#refuse(option, OPTION_REPLY.invalid, 'The lengths in that option do not fit together.')
      return 'more'
    }
    if (!this.#isOurs(data.subarray(4, countAt))) {
      await this.#refuse(option, OPTION_REPLY.unknown, `This server has one export, "${this.#export.name}".`)
      return 'more'
    }
    const wanted = new Set<number>()
    for (let at = countAt + 2; at < data.length; at += 2) wanted.add(data.readUInt16BE(at))
    await this.#sendInfo(option, wanted)
    await this.#reply(option, OPTION_REPLY.ack)
    return option === OPTION.go ? 'agreed' : 'more'
  }

  async #sendInfo(option: number, wanted: ReadonlySet<number>): Promise<void> {
    const about = Buffer.alloc(12)
    about.writeUInt16BE(INFO.export, 0)
    about.writeBigUInt64BE(BigInt(this.#export.image.sizeBytes), 2)
    about.writeUInt16BE(this.#flags(), 10)
    await this.#reply(option, OPTION_REPLY.info, [about])
    if (wanted.has(INFO.name))
      await this.#reply(option, OPTION_REPLY.info, [word(INFO.name), text(this.#export.name)])
    if (wanted.has(INFO.description)) {
      const description = text(this.#export.description)
      await this.#reply(option, OPTION_REPLY.info, [word(INFO.description), description])
    }
    if (wanted.has(INFO.blockSize)) {
      const sizes = Buffer.alloc(14)
      sizes.writeUInt16BE(INFO.blockSize, 0)
      sizes.writeUInt32BE(1, 2)
      sizes.writeUInt32BE(PREFERRED_BLOCK_BYTES, 6)
      sizes.writeUInt32BE(MAX_PAYLOAD_BYTES, 10)
      await this.#reply(option, OPTION_REPLY.info, [sizes])
    }
  }

  async #metaContexts(option: number, data: Buffer): Promise<void> {
    if (option === OPTION.setMetaContext) this.#contexts = []
    const parsed = parseQueries(data)
    if (parsed === undefined || !this.#structured) {
      const what = this.#structured
        ? 'The lengths in that option do not fit.'
        : 'Ask for structured replies first.'
      return await this.#refuse(option, OPTION_REPLY.invalid, what)
    }
    if (!this.#isOurs(parsed.name)) {
      return await this.#refuse(
        option,
        OPTION_REPLY.unknown,
        `This server has one export, "${this.#export.name}".`,
      )
    }
    const listing = option === OPTION.listMetaContext
    const found = this.#export.contexts.filter(({ name }) => {
      if (listing && parsed.queries.length === 0) return true
      // `base:` asks for all of a namespace, which makes sense in a listing only.
      return parsed.queries.some(
        (query) => query === name || (listing && name.startsWith(query) && query.endsWith(':')),
      )
    })
    if (!listing) this.#contexts = found
    for (const [i, { name }] of found.entries()) {
      const id = Buffer.alloc(4)
      id.writeUInt32BE(listing ? 0 : i + 1, 0)
      await this.#reply(option, OPTION_REPLY.metaContext, [id, text(name)])
    }
    await this.#reply(option, OPTION_REPLY.ack)
  }

  #isOurs(name: Uint8Array): boolean {
    return name.length === 0 || Buffer.compare(name, text(this.#export.name)) === 0
  }

  #flags(): number {
    const {
      hasFlags,
      readOnly,
      sendFlush,
      sendFua,
      sendTrim,
      sendWriteZeroes,
      sendDf,
      canMultiConn,
      sendCache,
    } = TRANSMISSION
    const always = hasFlags | canMultiConn | sendCache | (this.#structured ? sendDf : 0)
    return this.#export.writable === undefined
      ? always | readOnly
      : always | sendFlush | sendFua | sendTrim | sendWriteZeroes
  }

  async #refuse(option: number, type: number, message: string): Promise<void> {
    await this.#reply(option, type, [text(message)])
  }

  async #reply(option: number, type: number, parts: readonly Uint8Array[] = []): Promise<void> {
    const header = Buffer.alloc(20)
    header.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0)
    header.writeUInt32BE(option, 8)
    header.writeUInt32BE(type, 12)
    header.writeUInt32BE(
      parts.reduce((sum, part) => sum + part.length, 0),
      16,
    )
    await this.#bytes.write([header, ...parts])
  }
}

/** Export name and queries of the options about metadata contexts; undefined when their lengths lie. */
function parseQueries(data: Buffer): { readonly name: Buffer; readonly queries: string[] } | undefined {
  let at = 0
  const next = (): Buffer | undefined => {
    if (at + 4 > data.length) return undefined
    const end = at + 4 + data.readUInt32BE(at)
    if (end > data.length) return undefined
    const bytes = data.subarray(at + 4, end)
    at = end
    return bytes
  }
  const name = next()
  if (name === undefined || at + 4 > data.length) return undefined
  const count = data.readUInt32BE(at)
  at += 4
  const queries: string[] = []
  for (let i = 0; i < count; i++) {
    const query = next()
    if (query === undefined) return undefined
    queries.push(query.toString('utf8'))
  }
  return at === data.length ? { name, queries } : undefined
}

/** UTF-8, cut where the protocol allows no more. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8')
  if (bytes.length <= MAX_STRING_BYTES) return bytes
  let end = MAX_STRING_BYTES
  while ((bytes[end]! & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}

function counted(value: string): Buffer {
  const bytes = text(value)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length, 0)
  return Buffer.concat([length, bytes])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value, 0)
  return bytes
}
