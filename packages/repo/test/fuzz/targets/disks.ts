// Disks that are served: what a client of a network block device says, and the files that hold what it wrote.
import { createHash } from 'node:crypto'
import { Duplex } from 'node:stream'
import type { Extent, WritableImage } from '@platter/core'
import { ByteBudget } from '../../../../fs-adapters/dist/nbd/byte-budget.js'
import { allocationContext, type NbdExport } from '../../../../fs-adapters/dist/nbd/nbd-export.js'
import { type Agreement, negotiate } from '../../../../fs-adapters/dist/nbd/negotiation.js'
import { SocketBytes } from '../../../../fs-adapters/dist/nbd/socket-bytes.js'
import { Transmission } from '../../../../fs-adapters/dist/nbd/transmission.js'
import { COMMAND, OPTION, REQUEST_MAGIC } from '../../../../fs-adapters/dist/nbd/wire.js'
import { BLOCK, BlockStates, PAGE_BYTES } from '../../../../fs-adapters/dist/overlay/block-states.js'
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
} from '../../../../fs-adapters/dist/overlay/overlay-header.js'
import { type FuzzTarget, sound } from '../target.ts'

const IMAGE_BYTES = 300_000

/** Has no bytes, but minds that nobody reaches beyond its end. */
const image: WritableImage = {
  sizeBytes: IMAGE_BYTES,
  async readInto(offset, into) {
    assertWithin(offset, into.length)
    return into.length
  },
  async *extents({ offset = 0, length = IMAGE_BYTES - offset } = {}): AsyncGenerator<Extent> {
    assertWithin(offset, length)
    const half = length >>> 1
    if (half > 0) yield { offset, length: half, kind: 'data' }
    yield { offset: offset + half, length: length - half, kind: 'hole' }
  },
  async write(offset, data) {
    assertWithin(offset, data.length)
  },
  async zero(offset, length) {
    assertWithin(offset, length)
  },
  async flush() {},
}

function assertWithin(offset: number, length: number): void {
  sound(Number.isSafeInteger(offset) && offset >= 0, 'an offset is none')
  sound(length >= 0 && offset + length <= IMAGE_BYTES, 'a request reaches beyond the image')
}

const offered = (writable: boolean): NbdExport => ({
  name: 'web-01/sda',
  description: 'a disk',
  image,
  writable: writable ? image : undefined,
  contexts: [allocationContext(image)],
})

/** The other end of a connection: says its words and ends; keeps what it is told. */
class Client extends Duplex {
  readonly told: Uint8Array[] = []
  #words: Uint8Array | null

  constructor(words: Uint8Array) {
    super({ autoDestroy: false })
    this.#words = words
  }

  override _read(): void {
    if (this.#words !== null && this.#words.length > 0) this.push(this.#words)
    this.#words = null
    this.push(null)
  }

  override _write(bytes: Uint8Array, _encoding: string, done: () => void): void {
    this.told.push(Uint8Array.from(bytes))
    done()
  }

  get toldBytes(): Buffer {
    return Buffer.concat(this.told)
  }
}

const words = (...numbers: readonly (readonly [number, number | bigint])[]): Buffer => {
  const bytes = Buffer.alloc(numbers.reduce((sum, [width]) => sum + width, 0))
  let at = 0
  for (const [width, number] of numbers) {
    if (width === 8) bytes.writeBigUInt64BE(BigInt(number), at)
    else bytes.writeUIntBE(Number(number), at, width)
    at += width
  }
  return bytes
}
const named = (text: string): Buffer => Buffer.concat([words([4, text.length]), Buffer.from(text)])
const option = (number: number, data: Uint8Array = new Uint8Array(0)): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT'), words([4, number], [4, data.length]), data])
const contexts = Buffer.concat([named('web-01/sda'), words([4, 2]), named('base:'), named('base:allocation')])
const GO = option(OPTION.go, Buffer.concat([named('web-01/sda'), words([2, 3], [2, 0], [2, 1], [2, 3])]))

/** Input: what a client says until it takes the export. */
const negotiation: FuzzTarget = {
  name: 'nbd-negotiation',
  form: 'bytes',
  seeds: [
    [words([4, 3]), option(OPTION.structuredReply), option(OPTION.setMetaContext, contexts), GO],
    [words([4, 1]), option(OPTION.list), option(OPTION.startTls), option(99, new Uint8Array(5))],
    [words([4, 3]), option(OPTION.listMetaContext, contexts), option(OPTION.exportName)],
    [words([4, 3]), option(OPTION.info, Buffer.concat([named(''), words([2, 0])])), option(OPTION.abort)],
  ].map((parts) => new Uint8Array(Buffer.concat(parts))),
  codes: [],
  async run(input) {
    const client = new Client(input)
    const outcome = await negotiate(
      new SocketBytes(client),
      offered((input.at(-1) ?? 0) % 2 === 0),
      undefined,
    )
    sound(client.toldBytes.subarray(0, 16).equals(Buffer.from('NBDMAGICIHAVEOPT')), 'the greeting is another')
    if (outcome === undefined) return 'ended'
    const { contexts: chosen, structured } = outcome.agreement
    sound(
      chosen.length <= 1 && (structured || chosen.length === 0),
      'contexts are agreed on that are not there',
    )
    return 'agreed'
  },
}

const request = (command: number, offset: number | bigint, length: number, flags = 0): Buffer =>
  words([4, REQUEST_MAGIC], [2, flags], [2, command], [8, 0x1122n], [8, offset], [4, length])

/** Input: what was agreed on, in the bits of a byte, and what a client says from then on. */
const requests: FuzzTarget = {
  name: 'nbd-requests',
  form: 'bytes',
  seeds: [
    [words([1, 0]), request(COMMAND.read, 512, 1000), request(COMMAND.read, 2n ** 60n, 1)],
    [words([1, 1]), request(COMMAND.read, 0, IMAGE_BYTES, 4), request(COMMAND.cache, 0, 4096)],
    [words([1, 3]), request(COMMAND.blockStatus, 0, IMAGE_BYTES, 8), request(COMMAND.disconnect, 0, 0)],
    [words([1, 4]), request(COMMAND.write, 8, 16, 1), new Uint8Array(16), request(COMMAND.flush, 0, 0)],
    [words([1, 7]), request(COMMAND.trim, 0, 65_536), request(COMMAND.writeZeroes, 4096, 8192, 3)],
  ].map((parts) => new Uint8Array(Buffer.concat(parts))),
  codes: [],
  async run(input) {
    const bits = input[0] ?? 0
    const structured = (bits & 1) !== 0
    const export_ = offered((bits & 4) !== 0)
    const agreement: Agreement = {
      structured,
      contexts: structured && (bits & 2) !== 0 ? export_.contexts : [],
    }
    const client = new Client(input.subarray(1))
    const failures: unknown[] = []
    const context = {
      budget: new ByteBudget(2 ** 20),
      signal: new AbortController().signal,
      onError: (error: unknown) => failures.push(error),
    }
    await new Transmission(new SocketBytes(client), export_, agreement, context).run()
    if (failures.length > 0) throw failures[0]
    return answersIn(client.toldBytes, structured) > 0 ? 'answered' : 'cut off'
  },
}

/** How many replies these bytes are. @throws Finding when they are something else. */
function answersIn(told: Buffer, structured: boolean): number {
  if (structured) {
    let count = 0
    for (let at = 0; at < told.length; count++) {
      sound(told.length - at >= 20 && told.readUInt32BE(at) === 0x668e33ef, 'a chunk is none')
      at += 20 + told.readUInt32BE(at + 16)
      sound(at <= told.length, 'a chunk is longer than what came')
    }
    return count
  }
  // The length of a reply is known only to who asked; the first shows at least that replies begin.
  sound(told.length === 0 || told.readUInt32BE(0) === 0x67446698, 'a reply is none')
  return told.length
}

const HEADER = { blockBytes: 4096, sizeBytes: 2 ** 33, base: 'snapshots/0123456789abcdef' }

/** Input: header without its digest, which is put behind it. */
const overlayHeader: FuzzTarget = {
  name: 'overlay-header',
  form: 'bytes',
  seeds: [encodeHeader(HEADER), encodeHeader({ ...HEADER, blockBytes: 512, base: 'ä'.repeat(500) })].map(
    (header) => Uint8Array.from(header.subarray(0, 300)),
  ),
  codes: ['ERR_OVERLAY_INVALID'],
  run(input) {
    const header = Buffer.alloc(HEADER_BYTES)
    header.set(input.subarray(0, HEADER_BYTES - 32))
    createHash('sha256')
      .update(header.subarray(0, -32))
      .digest()
      .copy(header, HEADER_BYTES - 32)
    const { blockBytes, sizeBytes, base } = decodeHeader(header, 'a file')
    sound(blockBytes >= 512 && blockBytes <= 2 ** 20, 'blocks have a size that takes too much memory')
    sound(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a size is none')
    sound(Buffer.byteLength(base) <= 3 * 1024, 'the name of a base is too long')
  },
}

/** Input: the beginning of a page of the map of blocks; the rest is zeros. */
const overlayMap: FuzzTarget = {
  name: 'overlay-map',
  form: 'bytes',
  seeds: [Uint8Array.of(0, 0x55, 0xaa, 0x12, 0, 0, 1), Uint8Array.of(0), Uint8Array.of(0x80)],
  codes: [],
  run(input) {
    const page = new Uint8Array(PAGE_BYTES)
    page.set(input.subarray(0, PAGE_BYTES))
    const states = new BlockStates()
    if (!states.load(1, page)) return 'refused'
    const [first, end] = [4 * PAGE_BYTES, 8 * PAGE_BYTES]
    for (let block = first, last = -1; block < end; ) {
      const state = states.get(block)
      sound(state === BLOCK.base || state === BLOCK.own || state === BLOCK.zero, 'a block has no state')
      sound(state !== last, 'a run ends too early')
      last = state
      block = states.runEnd(block, end)
    }
    return 'read'
  },
}

export const DISK_TARGETS: readonly FuzzTarget[] = [negotiation, requests, overlayHeader, overlayMap]
