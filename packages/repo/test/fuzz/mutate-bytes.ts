import type { Random } from './random.ts'

/** Longest input that is tried. */
export const MAX_INPUT_BYTES = 64 * 1024

/** Numbers at which parsers go wrong: borders of types, and of the limits of the format. */
const NUMBERS: readonly number[] = [
  0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 127, 128, 255, 256, 4095, 4096, 4097, 65_535, 65_536,
  0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x1000_0000, 0x1000_0001, 0x00ff_ffff, 0x0100_0000,
]

/** Up to eight small changes of a byte string, of the kinds that AFL has proved: bits, numbers, pieces. */
export function mutateBytes(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = input.slice()
  for (let left = 1 + random.below(random.oneIn(2) ? 2 : 8); left > 0; left--)
    bytes = changed(bytes, other, random)
  return bytes
}

function changed(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length)
  const count = Math.min(bytes.length - at, 1 + random.below(random.oneIn(4) ? 200 : 16))
  switch (random.below(12)) {
    case 0:
    case 1:
      if (bytes.length > 0) bytes[at]! ^= 1 << random.below(8)
      return bytes
    case 2:
      if (bytes.length > 0) bytes[at] = random.bits()
      return bytes
    case 3:
    case 4:
      return withNumber(bytes, at, random)
    case 5:
      if (bytes.length > 0) bytes[at]! += random.below(33) - 16
      return bytes
    case 6:
      return spliced(bytes, at, count, NOTHING)
    case 7:
      return spliced(bytes, at, 0, random.bytes(1 + random.below(32)))
    case 8:
      return spliced(bytes, at, 0, bytes.subarray(at, at + count))
    case 9:
      bytes.copyWithin(random.below(bytes.length), at, at + count)
      return bytes
    case 10:
      return random.oneIn(3) ? bytes.slice(0, at) : spliced(bytes, at, count, pieceOf(other, random))
    default:
      // The head of one and the tail of another.
      return spliced(bytes, at, bytes.length - at, other.subarray(random.below(other.length)))
  }
}

const NOTHING = new Uint8Array(0)

/** Writes a number of 8, 16 or 32 bits, in either order of bytes. */
function withNumber(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const width = random.pick([1, 2, 4])
  if (at + width > bytes.length) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const little = random.oneIn(2)
  const number = random.oneIn(4) ? bytes.length - random.below(128) : random.pick(NUMBERS)
  if (width === 1) view.setUint8(at, number)
  else if (width === 2) view.setUint16(at, number, little)
  else view.setUint32(at, number, little)
  return bytes
}

function pieceOf(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length)
  return bytes.subarray(at, at + 1 + random.below(64))
}

/** `bytes` with `count` of them, from `at` on, replaced. */
export function spliced(bytes: Uint8Array, at: number, count: number, piece: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length - count + piece.length)
  result.set(bytes.subarray(0, at))
  result.set(piece, at)
  result.set(bytes.subarray(at + count), at + piece.length)
  return result
}
