// A MessagePack of our own, written after its specification alone: the reference against which records are read, and
// a tree that can be changed and encoded again, rightly or with lies.

/** Nil, a boolean, a number, an extension: its encoding as it stands. */
export interface Atom {
  readonly kind: 'atom'
  readonly bytes: Uint8Array
}

/** Text or bytes. With `declared` it says to have another length than it has. */
export interface Text {
  readonly kind: 'string' | 'binary'
  readonly bytes: Uint8Array
  readonly declared?: number
}

/** A list, or keys and values in turn. */
export interface Items {
  readonly kind: 'array' | 'map'
  readonly items: readonly Node[]
  readonly declared?: number
}

/** A value of a MessagePack text. */
export type Node = Atom | Text | Items

/** Most values, nested ones among them, that the reference looks at. */
const MAX_NODES = 524_288
const MAX_DEPTH = 16

/** Reads a record as docs/format.md, section 4, says; undefined for anything else. */
export function parse(bytes: Uint8Array): Node | undefined {
  const reader = new Reader(bytes)
  const node = reader.value(0)
  return node === undefined || !reader.atEnd() ? undefined : node
}

class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #nodes = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  value(depth: number): Node | undefined {
    if (depth > MAX_DEPTH || ++this.#nodes > MAX_NODES || this.atEnd()) return undefined
    const start = this.#at
    const type = this.#bytes[this.#at++]!
    if (type < 0x80 || type >= 0xe0) return this.#atom(start, 0)
    if (type < 0x90) return this.#items('map', type & 15, depth)
    if (type < 0xa0) return this.#items('array', type & 15, depth)
    if (type < 0xc0) return this.#text('string', type & 31)
    if (type === 0xc0 || type === 0xc2 || type === 0xc3) return this.#atom(start, 0)
    const width = FIXED.get(type)
    if (width !== undefined) return this.#atom(start, width)
    const form = SIZED.get(type)
    if (form === undefined) return undefined
    const [kind, lengthBytes] = form
    const length = this.#length(lengthBytes)
    if (length === undefined) return undefined
    return kind === 'array' || kind === 'map' ? this.#items(kind, length, depth) : this.#text(kind, length)
  }

  #atom(start: number, width: number): Node | undefined {
    this.#at += width
    if (this.#at > this.#bytes.length) return undefined
    return { kind: 'atom', bytes: this.#bytes.subarray(start, this.#at) }
  }

  #length(bytes: 1 | 2 | 4): number | undefined {
    const at = this.#at
    this.#at += bytes
    if (this.#at > this.#bytes.length) return undefined
    if (bytes === 1) return this.#view.getUint8(at)
    return bytes === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at)
  }

  #text(kind: 'string' | 'binary', length: number): Node | undefined {
    const start = this.#at
    this.#at += length
    if (this.#at > this.#bytes.length) return undefined
    return { kind, bytes: this.#bytes.subarray(start, this.#at) }
  }

  #items(kind: 'array' | 'map', count: number, depth: number): Node | undefined {
    const items: Node[] = []
    const expected = kind === 'map' ? 2 * count : count
    for (let i = 0; i < expected; i++) {
      const item = this.value(depth + 1)
      if (item === undefined || (kind === 'map' && i % 2 === 0 && item.kind !== 'string')) return undefined
      items.push(item)
    }
    return { kind, items }
  }
}

/** Width of what follows the type byte. */
const FIXED: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
])

const SIZED: ReadonlyMap<number, readonly ['string' | 'binary' | 'array' | 'map', 1 | 2 | 4]> = new Map([
  [0xc4, ['binary', 1]],
  [0xc5, ['binary', 2]],
  [0xc6, ['binary', 4]],
  [0xd9, ['string', 1]],
  [0xda, ['string', 2]],
  [0xdb, ['string', 4]],
  [0xdc, ['array', 2]],
  [0xdd, ['array', 4]],
  [0xde, ['map', 2]],
  [0xdf, ['map', 4]],
])

/** Encodes a tree, declaring what its nodes declare, be it true or not. */
export function encode(node: Node): Uint8Array {
  const parts: Uint8Array[] = []
  encodeInto(parts, node)
  return new Uint8Array(Buffer.concat(parts))
}

function encodeInto(parts: Uint8Array[], node: Node): void {
  if (node.kind === 'atom') {
    parts.push(node.bytes)
  } else if (node.kind === 'string' || node.kind === 'binary') {
    parts.push(head(node.kind, node.declared ?? node.bytes.length), node.bytes)
  } else {
    const { kind, items, declared } = node as Items
    parts.push(head(kind, declared ?? (kind === 'map' ? items.length >> 1 : items.length)))
    for (const item of items) encodeInto(parts, item)
  }
}

/** Shortest head, or the longest where a length does not fit. */
function head(kind: 'string' | 'binary' | 'array' | 'map', length: number): Uint8Array {
  const short = { string: [0xa0, 31], binary: [0, -1], array: [0x90, 15], map: [0x80, 15] }[kind]
  if (length <= short[1]!) return Uint8Array.of(short[0]! | length)
  const [, two, four] = {
    string: [0, 0xda, 0xdb],
    binary: [0, 0xc5, 0xc6],
    array: [0, 0xdc, 0xdd],
    map: [0, 0xde, 0xdf],
  }[kind]
  const bytes = Buffer.alloc(length < 65_536 ? 3 : 5)
  bytes[0] = length < 65_536 ? two! : four!
  if (length < 65_536) bytes.writeUInt16BE(length, 1)
  else bytes.writeUInt32BE(length, 1)
  return bytes
}

/** Whether what a decoder made of a tree is what the tree says. Numbers beyond 2^53 may be rounded. */
export function isValueOf(node: Node, value: unknown): boolean {
  switch (node.kind) {
    case 'atom':
      return isAtom(node.bytes, value)
    case 'binary':
      return value instanceof Uint8Array && Buffer.compare(value, node.bytes) === 0
    case 'string':
      return typeof value === 'string' && (value === textOf(node.bytes) || !isUtf8(node.bytes))
    case 'array':
      return (
        Array.isArray(value) &&
        value.length === node.items.length &&
        node.items.every((item, i) => isValueOf(item, value[i]))
      )
    case 'map':
      return isMap(node.items, value)
  }
}

function isMap(items: readonly Node[], value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const last = new Map<string, Node>()
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!
    if (key.kind !== 'string') return false
    // Which key it becomes is the decoder's business where it is no text.
    if (!isUtf8(key.bytes)) return true
    const name = textOf(key.bytes)
    // As a property it could change what other properties mean, so the decoder renames it.
    last.set(name === '__proto__' ? '__proto_' : name, items[i + 1]!)
  }
  const record = value as Record<string, unknown>
  return (
    Object.keys(record).length === last.size &&
    [...last].every(([name, item]) => Object.hasOwn(record, name) && isValueOf(item, record[name]))
  )
}

function isAtom(bytes: Uint8Array, value: unknown): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const type = bytes[0]!
  if (type === 0xc0) return value === null
  if (type === 0xc2 || type === 0xc3) return value === (type === 0xc3)
  const number = type < 0x80 ? type : type >= 0xe0 ? type - 256 : NUMBERS.get(type)?.(view)
  if (typeof value !== 'number' || number === undefined) return false
  if (number === value || (Number.isNaN(number) && Number.isNaN(value))) return true
  return Math.abs(number) > Number.MAX_SAFE_INTEGER && Math.abs(number - value) <= Math.abs(number) * 1e-15
}

const NUMBERS: ReadonlyMap<number, (view: DataView) => number> = new Map([
  [0xca, (view) => view.getFloat32(1)],
  [0xcb, (view) => view.getFloat64(1)],
  [0xcc, (view) => view.getUint8(1)],
  [0xcd, (view) => view.getUint16(1)],
  [0xce, (view) => view.getUint32(1)],
  [0xcf, (view) => Number(view.getBigUint64(1))],
  [0xd0, (view) => view.getInt8(1)],
  [0xd1, (view) => view.getInt16(1)],
  [0xd2, (view) => view.getInt32(1)],
  [0xd3, (view) => Number(view.getBigInt64(1))],
])

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { fatal: true })

function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}
