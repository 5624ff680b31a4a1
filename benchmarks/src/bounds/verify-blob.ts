import { blake3 } from '@napi-rs/blake-hash'

/** What a check does with a blob once it is decompressed. Returns its length. */
export function verifyBlob(plain: Uint8Array, rawBytes: number): number {
  if (plain.length !== rawBytes) throw new RangeError('A blob has another length than its pack says.')
  blake3(plain)
  return plain.length
}
