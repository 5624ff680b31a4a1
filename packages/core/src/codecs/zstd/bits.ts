import { MAX_BLOCK_BYTES } from './frame.ts'

/**
 * The stored bytes of the block in work, with room on both sides: what reads bits may look a few bytes beyond where they
 * end, and only then notice.
 */
export const MARGIN_BYTES = 32
export const blockBytes: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_BLOCK_BYTES + 2 * MARGIN_BYTES)
export const blockView: DataView<ArrayBuffer> = new DataView(blockBytes.buffer)

/** Most bits that one call of {@link bitsAt} can give. */
export const MAX_BITS = 25

/** `count` bits of the block, from bit `from` on; bit 0 is the lowest of the first byte. */
export function bitsAt(from: number, count: number): number {
  return (blockView.getUint32(from >>> 3, true) >>> (from & 7)) & ((1 << count) - 1)
}

/**
 * Where a stream that is read from its end begins: behind the last bit, a one, that says where that is.
 *
 * @throws RangeError
 */
export function topOfBits(at: number, end: number): number {
  const last = end > at ? blockBytes[end - 1]! : 0
  if (last === 0) throw new RangeError('A stream of bits in the zstd frame has no end.')
  return (end - 1) * 8 + 31 - Math.clz32(last)
}
