/**
 * The checksum of boot regions and up-case tables: rotated to the right by one bit for each byte that is added. `skipped`
 * are offsets that it leaves out.
 */
export function addToChecksum(checksum: number, bytes: Uint8Array, skipped: readonly number[] = []): number {
  let value = checksum
  for (let at = 0; at < bytes.length; at++) {
    if (at <= 112 && skipped.includes(at)) continue
    value = (((value << 31) | (value >>> 1)) + bytes[at]!) >>> 0
  }
  return value
}

/** The same with 16 bits, of a set of directory entries. Its own two bytes, behind the first two, are left out. */
export function entrySetChecksum(entries: readonly Uint8Array[]): number {
  let value = 0
  for (const [i, entry] of entries.entries()) {
    for (let at = 0; at < entry.length; at++) {
      if (i === 0 && (at === 2 || at === 3)) continue
      value = (((value << 15) | (value >>> 1)) + entry[at]!) & 0xffff
    }
  }
  return value
}
