import { createHasher } from '@platter/core'

const ITEM_BYTES = 33

/**
 * Digest of a whole image from the digests of its regions, in order. It depends on the image's bytes and the
 * repository's keys alone, not on cuts, holes or workers, so a restore can be checked against it independently of
 * the chunk ids.
 *
 * Keyed BLAKE3 over: image size (8 bytes, little-endian); then for each region that has a byte that is not zero 01
 * and its digest (32 bytes), for each maximal run of regions without one 00 and their number (8 bytes).
 */
export class ImageDigest {
  readonly #key: Uint8Array
  #items = new Uint8Array(1024 * ITEM_BYTES)
  #length = 0
  #zeroRegions = 0

  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** Appends a region; undefined for one that is all zero. */
  region(digest: Uint8Array | undefined): void {
    if (digest === undefined) {
      this.zeroRegions(1)
      return
    }
    this.#endZeros()
    this.#append(1, digest)
  }

  /** Appends regions that are all zero. */
  zeroRegions(count: number): void {
    this.#zeroRegions += count
  }

  /** Hex of the image's digest. */
  finish(sizeBytes: number): string {
    this.#endZeros()
    const digest = createHasher(this.#key).hashParts([
      uint64(sizeBytes),
      this.#items.subarray(0, this.#length),
    ])
    return Buffer.from(digest).toString('hex')
  }

  /** A digest that has come as far and goes on by itself. */
  copy(): ImageDigest {
    const copy = new ImageDigest(this.#key)
    copy.#items = this.#items.slice()
    copy.#length = this.#length
    copy.#zeroRegions = this.#zeroRegions
    return copy
  }

  #endZeros(): void {
    if (this.#zeroRegions > 0) this.#append(0, uint64(this.#zeroRegions))
    this.#zeroRegions = 0
  }

  #append(tag: number, content: Uint8Array): void {
    if (this.#length + ITEM_BYTES > this.#items.length) {
      const larger = new Uint8Array(this.#items.length * 2)
      larger.set(this.#items)
      this.#items = larger
    }
    this.#items[this.#length] = tag
    this.#items.set(content, this.#length + 1)
    this.#length += 1 + content.length
  }
}

function uint64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}
