import { expandKey } from './keystream.ts'

/** The unit of aligned chunking: the block size of nearly every filesystem. */
export const BLOCK_BYTES = 4096

/** Bytes in one block digest. */
export const DIGEST_BYTES = 16

/**
 * Key material of the block digest, expanded from a 32-byte secret.
 *
 * `words` are 1024 32-bit words, read little-endian from `bytes`; `zeroDigest` is the digest of the zero block.
 */
export interface NhKey {
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly zeroDigest: Uint8Array
}

/**
 * Writes the NH digest of the 4096-byte block at `offset` of `data` to `digests` at `digestOffset`.
 *
 * NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", CRYPTO '99; pairing of words as in RFC 4418, section 5.2).
 * Of a block, read the 1024 words m[0..1023], and of the key the words k[0..1023], each 32 bits, little-endian.
 * For every group g in 0..127 and column c in 0..3:
 *
 *     p = ((m[8g+c] + k[8g+c]) mod 2^32) * ((m[8g+4+c] + k[8g+4+c]) mod 2^32)
 *
 * Products of even columns are summed mod 2^64 in lane 0, those of odd columns in lane 1. The digest is lane 0, then
 * lane 1, each as 8 bytes little-endian. In vector terms: two consecutive 16-byte vectors plus key, multiplied
 * element by element to 64 bits, low half and high half added to one accumulator of two 64-bit lanes.
 *
 * NH is universal, not cryptographic: over the random key, two different blocks get the same lane with a chance of at
 * most 2^-32 for each lane in whose columns they differ. Never take equal digests for equal data, and keep digests
 * secret: what is shown outside must first go through a pseudo-random function, as the tags of `AlignedChunker` do.
 *
 * This is the twin of `nhDigest` in assembly/kernels.ts.
 */
export function nhDigest(
  key: NhKey,
  data: DataView,
  offset: number,
  digests: DataView,
  digestOffset: number,
): void {
  sumLane(key.words, data, offset, 0, digests, digestOffset)
  sumLane(key.words, data, offset, 1, digests, digestOffset + 8)
}

/**
 * Derives the NH key material from a 32-byte secret.
 *
 * @throws InvalidArgumentError when `key` is not 32 bytes
 */
export function deriveNhKey(key: Uint8Array): NhKey {
  const bytes = expandKey('key', key, 'cdc nh  ', BLOCK_BYTES)
  const view = new DataView(bytes.buffer)
  const words = Uint32Array.from({ length: BLOCK_BYTES / 4 }, (_, i) => view.getUint32(4 * i, true))
  const zeroDigest = new Uint8Array(DIGEST_BYTES)
  const nhKey = { bytes, words, zeroDigest }
  nhDigest(nhKey, new DataView(new ArrayBuffer(BLOCK_BYTES)), 0, new DataView(zeroDigest.buffer), 0)
  return nhKey
}

/**
 * One lane. The 64-bit products are never formed: with 16-bit halves their parts are below 2^32, and sums of 1024
 * such parts are exact in a double.
 */
function sumLane(
  key: Uint32Array,
  data: DataView,
  offset: number,
  lane: number,
  digests: DataView,
  digestOffset: number,
): void {
  let low = 0
  let middle = 0
  let high = 0
  for (let group = 0; group < BLOCK_BYTES / 4; group += 8) {
    for (let word = group + lane; word < group + 4; word += 2) {
      const left = (data.getUint32(offset + 4 * word, true) + key[word]!) >>> 0
      const right = (data.getUint32(offset + 4 * word + 16, true) + key[word + 4]!) >>> 0
      const leftLow = left & 0xffff
      const leftHigh = left >>> 16
      const rightLow = right & 0xffff
      const rightHigh = right >>> 16
      low += leftLow * rightLow
      middle += leftLow * rightHigh + leftHigh * rightLow
      high += leftHigh * rightHigh
    }
  }
  const lowSum = low + (middle % 0x10000) * 0x10000
  const highSum = high + Math.floor(middle / 0x10000) + Math.floor(lowSum / 0x100000000)
  digests.setUint32(digestOffset, lowSum >>> 0, true)
  digests.setUint32(digestOffset + 4, highSum >>> 0, true)
}
