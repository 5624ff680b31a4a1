import { type Cipher, createCipheriv } from 'node:crypto'
import { type BlockScanner, createBlockScanner } from './block-scanner.ts'
import { assertChunkerConfig, type Chunker, type ChunkSizes, DEFAULT_CHUNK_SIZES } from './chunker.ts'
import { CutList } from './cut-list.ts'
import { assertBytes, assertInteger, InvalidArgumentError } from './errors.ts'
import type { ImplementationChoice } from './kernels.ts'
import { KEY_BYTES } from './keystream.ts'
import { BLOCK_BYTES, DIGEST_BYTES } from './nh-digest.ts'

/**
 * Cuts at multiples of 4096 bytes, where a keyed tag of the block before the cut is small.
 *
 * The tag of a block is AES-256-ECB, under the cut key, of its 16-byte NH digest under the digest key: a universal
 * hash followed by a pseudo-random function. Cut points so tell an outsider nothing about the data but which blocks
 * are equal, which the sums and tables of unkeyed or merely seeded rolling hashes do not achieve.
 *
 * A chunk ends after a block when it has reached `minBytes` and the tag's first 32-bit word, little-endian, is less
 * than 2^32 / (1 + (averageBytes - minBytes) / 4096), rounded down; or when it has reached `maxBytes`. With a
 * threshold instead of a mask, the blocks expected after the minimum need not be a power of two. Cutting at the
 * maximum makes the mean of actual chunks a little smaller than `averageBytes`.
 *
 * Pieces must be whole blocks, but for the last of a segment. Its partial last block is digested as if filled up with
 * zeros, and the segment's last cut is its true length.
 */
export class AlignedChunker implements Chunker {
  readonly minBytes: number
  readonly maxBytes: number
  readonly #digestKey: Uint8Array
  readonly #implementation: ImplementationChoice
  readonly #cipher: Cipher
  readonly #threshold: number
  readonly #cuts = new CutList()
  #scanner: BlockScanner | undefined
  #tags = new Uint8Array(0)
  #segmentBytes = 0
  #chunkBytes = 0
  #partial = false

  /** @throws InvalidArgumentError when a key is not 32 bytes, or the sizes are not ordered multiples of 4096 */
  constructor(options: AlignedChunkerOptions) {
    const { sizes = DEFAULT_CHUNK_SIZES, digestKey, cutKey, implementation = 'auto' } = options
    assertChunkerConfig({ ...sizes, kind: 'aligned' })
    assertBytes('digestKey', digestKey, KEY_BYTES)
    assertBytes('cutKey', cutKey, KEY_BYTES)
    this.minBytes = sizes.minBytes
    this.maxBytes = sizes.maxBytes
    this.#digestKey = digestKey.slice()
    this.#implementation = implementation
    this.#cipher = createCipheriv('aes-256-ecb', cutKey, null).setAutoPadding(false)
    this.#threshold = Math.floor(2 ** 32 / (1 + (sizes.averageBytes - sizes.minBytes) / BLOCK_BYTES))
  }

  get cuts(): Float64Array {
    return this.#cuts.positions
  }

  /**
   * Tags of the blocks of the last `pushDigests`, 16 bytes each; `push` works in pieces of 256 KiB, and leaves the tags
   * of its last piece. Later calls make a new array, and leave this one be.
   */
  get tags(): Uint8Array {
    return this.#tags
  }

  /**
   * Takes the next bytes: whole blocks, or at the end of the segment any number.
   *
   * It digests them itself, through memory of its own. Who has digests of a `BlockScanner` calls `pushDigests`.
   *
   * @throws InvalidArgumentError after a partial block, until `finish` or `reset`
   */
  push(bytes: Uint8Array): number {
    assertBytes('bytes', bytes)
    this.#cuts.clear()
    this.#scanner ??= createBlockScanner({
      key: this.#digestKey,
      slabBytes: STAGING_BYTES,
      implementation: this.#implementation,
    })
    const { slab, digests } = this.#scanner
    for (let at = 0; at < bytes.length; at += STAGING_BYTES) {
      const piece = bytes.subarray(at, at + STAGING_BYTES)
      const blockCount = Math.ceil(piece.length / BLOCK_BYTES)
      slab.set(piece)
      slab.fill(0, piece.length, blockCount * BLOCK_BYTES)
      this.#scanner.scan(0, blockCount)
      this.#take(digests, 0, blockCount, piece.length - (blockCount - 1) * BLOCK_BYTES)
    }
    return this.#cuts.count
  }

  /**
   * Takes the digests of the next blocks: those of `blockCount` blocks from block index `firstBlock` of `digests` on.
   *
   * `tailBytes` is how much of the last of them is data, 1 to 4096; less than 4096 only at the end of a segment.
   *
   * @returns how many cuts stand in `cuts`
   * @throws InvalidArgumentError when the blocks do not lie in `digests`, or after a partial block
   */
  pushDigests(
    digests: Uint8Array,
    firstBlock: number,
    blockCount: number,
    tailBytes: number = BLOCK_BYTES,
  ): number {
    assertBytes('digests', digests)
    const capacity = Math.floor(digests.length / DIGEST_BYTES)
    assertInteger('firstBlock', firstBlock, 0, capacity)
    assertInteger('blockCount', blockCount, 0, capacity - firstBlock)
    assertInteger('tailBytes', tailBytes, 1, BLOCK_BYTES)
    this.#cuts.clear()
    this.#take(digests, firstBlock, blockCount, tailBytes)
    return this.#cuts.count
  }

  finish(): number {
    this.#cuts.clear()
    if (this.#chunkBytes > 0) this.#cuts.append(this.#segmentBytes)
    const count = this.#cuts.count
    this.#segmentBytes = 0
    this.#chunkBytes = 0
    this.#partial = false
    return count
  }

  reset(): void {
    this.finish()
    this.#cuts.clear()
  }

  #take(digests: Uint8Array, firstBlock: number, blockCount: number, tailBytes: number): void {
    if (this.#partial && blockCount > 0) {
      throw new InvalidArgumentError('a partial block ends its segment: call finish() before pushing more')
    }
    const first = firstBlock * DIGEST_BYTES
    const tags = this.#cipher.update(digests.subarray(first, first + blockCount * DIGEST_BYTES))
    for (let block = 0; block < blockCount; block++) {
      const blockBytes = block === blockCount - 1 ? tailBytes : BLOCK_BYTES
      this.#segmentBytes += blockBytes
      this.#chunkBytes += blockBytes
      if (this.#chunkBytes < this.minBytes) continue
      if (tags.readUInt32LE(block * DIGEST_BYTES) < this.#threshold || this.#chunkBytes >= this.maxBytes) {
        this.#cuts.append(this.#segmentBytes)
        this.#chunkBytes = 0
      }
    }
    this.#partial = blockCount > 0 ? tailBytes < BLOCK_BYTES : this.#partial
    this.#tags = new Uint8Array(tags.buffer, tags.byteOffset, tags.length)
  }
}

export interface AlignedChunkerOptions {
  /** Multiples of 4096 bytes. */
  readonly sizes?: ChunkSizes
  /** 32 secret bytes: the key of the block digests; used by `push` only. */
  readonly digestKey: Uint8Array
  /** 32 secret bytes, independent of `digestKey`: the key of the tags. */
  readonly cutKey: Uint8Array
  readonly implementation?: ImplementationChoice
}

const STAGING_BYTES = 256 * 1024
