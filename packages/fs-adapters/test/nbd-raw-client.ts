// A client that says exactly what a test wants said, written from the protocol's specification.
import { connect, type Socket } from 'node:net'
import type { NbdServer } from '@platter/fs-adapters/nbd'

const OPTION_MAGIC = Buffer.from('IHAVEOPT')

export interface OptionReply {
  readonly option: number
  readonly type: number
  readonly data: Buffer
}

export interface Chunk {
  readonly flags: number
  readonly type: number
  readonly cookie: bigint
  readonly data: Buffer
}

export class RawClient {
  readonly socket: Socket
  #buffer: Buffer = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => {
      this.#buffer = Buffer.concat([this.#buffer, bytes])
      this.#wake()
    })
    socket.on('error', () => undefined)
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true
        this.#wake()
      })
    }
  }

  static async connect(server: NbdServer): Promise<RawClient> {
    const socket = connect({ port: server.port!, host: '127.0.0.1' })
    return new RawClient(socket)
  }

  /** So many bytes, or undefined when the server ended the connection before. */
  async read(length: number): Promise<Buffer | undefined> {
    while (this.#buffer.length < length) {
      if (this.#ended) return undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const bytes = this.#buffer.subarray(0, length)
    this.#buffer = this.#buffer.subarray(length)
    return bytes
  }

  /** Whether the server ends the connection without another word. */
  async isCutOff(): Promise<boolean> {
    return (await this.read(1)) === undefined
  }

  send(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts))
  }

  async greet(flags = 3): Promise<void> {
    await this.read(18)
    this.send(u32(flags))
  }

  sendOption(option: number, data: Uint8Array = Buffer.alloc(0), length: number = data.length): void {
    this.send(OPTION_MAGIC, u32(option), u32(length), data)
  }

  async optionReply(): Promise<OptionReply | undefined> {
    const header = await this.read(20)
    if (header === undefined) return undefined
    const data = await this.read(header.readUInt32BE(16))
    return data && { option: header.readUInt32BE(8), type: header.readUInt32BE(12), data }
  }

  async option(option: number, data?: Uint8Array): Promise<OptionReply | undefined> {
    this.sendOption(option, data)
    return await this.optionReply()
  }

  /** Takes the export, with structured replies and contexts where wanted. */
  async go(structured: boolean, contexts: readonly string[] = []): Promise<void> {
    await this.greet()
    if (structured) await this.option(8)
    if (contexts.length > 0) {
      this.sendOption(10, Buffer.concat([counted(''), u32(contexts.length), ...contexts.map(counted)]))
      while ((await this.optionReply())?.type === 4);
    }
    this.sendOption(7, Buffer.concat([counted(''), u16(0)]))
    while ((await this.optionReply())?.type === 3);
  }

  request(command: number, offset: bigint, length: number, { flags = 0, cookie = 7n } = {}): void {
    this.send(u32(0x25609513), u16(flags), u16(command), u64(cookie), u64(offset), u32(length))
  }

  /** Error number and cookie of a simple reply. */
  async simpleReply(): Promise<{ readonly errno: number; readonly cookie: bigint } | undefined> {
    const header = await this.read(16)
    if (header === undefined || header.readUInt32BE(0) !== 0x67446698) return undefined
    return { errno: header.readUInt32BE(4), cookie: header.readBigUInt64BE(8) }
  }

  async chunk(): Promise<Chunk | undefined> {
    const header = await this.read(20)
    if (header === undefined || header.readUInt32BE(0) !== 0x668e33ef) return undefined
    const data = await this.read(header.readUInt32BE(16))
    return (
      data && {
        flags: header.readUInt16BE(4),
        type: header.readUInt16BE(6),
        cookie: header.readBigUInt64BE(8),
        data,
      }
    )
  }
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

export function counted(text: string): Buffer {
  return Buffer.concat([u32(Buffer.byteLength(text)), Buffer.from(text)])
}
