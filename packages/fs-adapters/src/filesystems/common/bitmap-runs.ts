/**
 * Runs of equal bits in `bits` bits of a bitmap, the lowest bit of a byte first, as nearly all filesystems have them.
 * Calls `onRun` in ascending order with neighbours of different value.
 */
export function forEachRun(
  bitmap: Uint8Array,
  bits: number,
  onRun: (start: number, count: number, isSet: boolean) => void,
): void {
  if (bits === 0) return
  let start = 0
  let current = bitmap[0]! & 1
  for (let i = 0; i < bits; ) {
    const byte = bitmap[i >>> 3]!
    // Most bytes are all of one kind.
    if ((i & 7) === 0 && byte === (current === 1 ? 0xff : 0)) {
      i += 8
      continue
    }
    const bit = (byte >>> (i & 7)) & 1
    if (bit !== current) {
      onRun(start, i - start, current === 1)
      start = i
      current = bit
    }
    i++
  }
  onRun(start, bits - start, current === 1)
}

/** Sets `count` bits from `start` on. */
export function setBits(bitmap: Uint8Array, start: number, count: number): void {
  const end = start + count
  for (let i = start; i < end; ) {
    if ((i & 7) === 0 && end - i >= 8) {
      const bytes = Math.floor((end - i) / 8)
      bitmap.fill(0xff, i >>> 3, (i >>> 3) + bytes)
      i += bytes * 8
    } else {
      bitmap[i >>> 3]! |= 1 << (i & 7)
      i++
    }
  }
}
