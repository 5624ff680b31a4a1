/** Castagnoli's polynomial, bits reversed. */
const POLYNOMIAL = 0x82f63b78

/** Tables for eight bytes at once: "slicing by 8", Kounavis and Berry 2005. */
const TABLES = makeTables()

/**
 * CRC-32C of `bytes` without the final inversion, as ext4 has it. `crc` is what came before; it begins with all ones.
 */
export function crc32c(crc: number, bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES
  let value = crc
  let i = 0
  for (const end = bytes.length - 7; i < end; i += 8) {
    value ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    value =
      t7![value & 255]! ^
      t6![(value >>> 8) & 255]! ^
      t5![(value >>> 16) & 255]! ^
      t4![value >>> 24]! ^
      t3![bytes[i + 4]!]! ^
      t2![bytes[i + 5]!]! ^
      t1![bytes[i + 6]!]! ^
      t0![bytes[i + 7]!]!
  }
  for (; i < bytes.length; i++) value = t0![(value ^ bytes[i]!) & 255]! ^ (value >>> 8)
  return value >>> 0
}

/** CRC-32C as everybody else has it, with the final inversion. */
export function finishedCrc32c(...pieces: readonly Uint8Array[]): number {
  return (pieces.reduce((crc, piece) => crc32c(crc, piece), 0xffffffff) ^ 0xffffffff) >>> 0
}

function makeTables(): readonly Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256))
  for (let n = 0; n < 256; n++) {
    let crc = n
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[0]![n] = crc
  }
  for (let k = 1; k < 8; k++) {
    for (let n = 0; n < 256; n++) {
      const before = tables[k - 1]![n]!
      tables[k]![n] = (before >>> 8) ^ tables[0]![before & 255]!
    }
  }
  return tables
}
