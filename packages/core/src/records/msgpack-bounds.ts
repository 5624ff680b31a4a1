/** Deepest nesting of a record. */
export const MAX_RECORD_DEPTH = 16
/**
 * Most values in a record, keys among them. An empty list takes a byte in a record and fifty in memory, so the length of
 * a record says little about what it takes to decode it.
 */
export const MAX_RECORD_VALUES = 524_288

/**
 * Walks a MessagePack value, and throws unless it fills `bytes` exactly, declares no length beyond them, has at most
 * {@link MAX_RECORD_VALUES} values, nests at most {@link MAX_RECORD_DEPTH} deep, has no extension types and only
 * string map keys. Decoders allocate arrays by their declared length, so this comes first.
 *
 * Source: MessagePack specification (2013 format, as of the str/bin revision).
 */
export function assertMessagePack(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const end = skipValue({ view, values: 0 }, 0, 0)
  if (end !== bytes.length) throw new RangeError(`${bytes.length - end} bytes follow the record.`)
}

interface Walk {
  readonly view: DataView
  /** Values seen so far. */
  values: number
}

/** Offset behind the value at `at`. DataView itself throws when a header lies beyond the end. */
function skipValue(walk: Walk, at: number, depth: number): number {
  const { view } = walk
  if (depth > MAX_RECORD_DEPTH) throw new RangeError('The record nests too deep.')
  if (++walk.values > MAX_RECORD_VALUES) throw new RangeError('The record has too many values.')
  const type = view.getUint8(at)
  if (type <= 0x7f || type >= 0xe0) return at + 1
  if (type <= 0x8f) return skipItems(walk, at + 1, type & 0x0f, depth, true)
  if (type <= 0x9f) return skipItems(walk, at + 1, type & 0x0f, depth, false)
  if (type <= 0xbf) return skipBytes(view, at + 1, type & 0x1f)
  switch (type) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1
    case 0xc4: // bin 8
    case 0xd9: // str 8
      return skipBytes(view, at + 2, view.getUint8(at + 1))
    case 0xc5: // bin 16
    case 0xda: // str 16
      return skipBytes(view, at + 3, view.getUint16(at + 1))
    case 0xc6: // bin 32
    case 0xdb: // str 32
      return skipBytes(view, at + 5, view.getUint32(at + 1))
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return skipBytes(view, at + 1, 1)
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return skipBytes(view, at + 1, 2)
    case 0xca: // float 32
    case 0xce: // uint 32
    case 0xd2: // int 32
      return skipBytes(view, at + 1, 4)
    case 0xcb: // float 64
    case 0xcf: // uint 64
    case 0xd3: // int 64
      return skipBytes(view, at + 1, 8)
    case 0xdc:
      return skipItems(walk, at + 3, view.getUint16(at + 1), depth, false)
    case 0xdd:
      return skipItems(walk, at + 5, view.getUint32(at + 1), depth, false)
    case 0xde:
      return skipItems(walk, at + 3, view.getUint16(at + 1), depth, true)
    case 0xdf:
      return skipItems(walk, at + 5, view.getUint32(at + 1), depth, true)
    default:
      throw new RangeError(`Type 0x${type.toString(16)} is not allowed in a record.`)
  }
}

function skipBytes(view: DataView, at: number, length: number): number {
  if (at + length > view.byteLength) throw new RangeError('A value reaches beyond the record.')
  return at + length
}

function skipItems(walk: Walk, at: number, count: number, depth: number, isMap: boolean): number {
  // Every item takes a byte at least, so a lying count is found before it costs anything.
  const { view } = walk
  if (count > view.byteLength - at)
    throw new RangeError('A collection declares more items than the record has bytes.')
  let next = at
  for (let i = 0; i < count; i++) {
    if (isMap) {
      assertString(view.getUint8(next))
      next = skipValue(walk, next, depth + 1)
    }
    next = skipValue(walk, next, depth + 1)
  }
  return next
}

function assertString(type: number): void {
  const isString = (type >= 0xa0 && type <= 0xbf) || (type >= 0xd9 && type <= 0xdb)
  if (!isString) throw new RangeError('A map key is not a string.')
}
