import { createHasher, type Hasher } from '@platter/core'
import { BLOCK_BYTES } from '../format/limits.ts'

/** Length of the digest of a block. */
export const DIGEST_BYTES = 16

/** Collects the digests of a region's blocks. Reused from region to region. */
export class RegionDigest {
  /** Digests of the blocks, 16 bytes each, in the order of the blocks. */
  readonly blocks: Uint8Array
  readonly #hasher: Hasher
  readonly #zeroDigest: Uint8Array

  /**
   * @param key the repository's image digest key.
   * @param zeroDigest digest of a block of zeros.
   */
  constructor(regionBytes: number, key: Uint8Array, zeroDigest: Uint8Array) {
    this.blocks = new Uint8Array((regionBytes / BLOCK_BYTES) * DIGEST_BYTES)
    this.#hasher = createHasher(key)
    this.#zeroDigest = zeroDigest
  }

  /** Takes the digests of blocks from byte `from` of the region on. */
  set(from: number, digests: Uint8Array): void {
    this.blocks.set(digests, (from / BLOCK_BYTES) * DIGEST_BYTES)
  }

  /** Bytes `from` to `to` of the region are zeros. */
  zeros(from: number, to: number): void {
    const end = Math.ceil(to / BLOCK_BYTES) * DIGEST_BYTES
    for (let at = (from / BLOCK_BYTES) * DIGEST_BYTES; at < end; at += DIGEST_BYTES)
      this.blocks.set(this.#zeroDigest, at)
  }

  /** Keyed BLAKE3 over the digests of a region of `length` bytes, or undefined when all its bytes are zero. */
  finish(length: number): Uint8Array | undefined {
    const digests = this.blocks.subarray(0, Math.ceil(length / BLOCK_BYTES) * DIGEST_BYTES)
    const startsZero = Buffer.compare(digests.subarray(0, DIGEST_BYTES), this.#zeroDigest) === 0
    // What starts with the zero digest and equals itself moved by one digest is nothing but zero digests.
    const moved = digests.subarray(0, digests.length - DIGEST_BYTES)
    if (startsZero && Buffer.compare(digests.subarray(DIGEST_BYTES), moved) === 0) return undefined
    return this.#hasher.hash(digests)
  }
}
