import { ensure, SurveyError } from './survey-error.ts'

/** A bitmap of 512 MiB: 16 TiB of blocks of 4 KiB. */
const MAX_BLOCKS = 2 ** 32

/**
 * Blocks that files and structures of a filesystem say are theirs. In a filesystem that is in order no two say so of
 * the same block, and its bitmap has all of them as allocated.
 */
export class ClaimedBlocks {
  readonly #bits: Uint8Array
  readonly #blockCount: number

  /** @throws SurveyError `too-costly` when there are more blocks than there is memory for. */
  constructor(blockCount: number) {
    ensure(blockCount <= MAX_BLOCKS, 'too-costly', `it has ${blockCount} blocks, more than ${MAX_BLOCKS}`)
    this.#blockCount = blockCount
    this.#bits = new Uint8Array(Math.ceil(blockCount / 8))
  }

  /**
   * Notes that something has `count` blocks from `start` on. Both may come from the volume unchecked.
   *
   * @throws SurveyError `out-of-range`, or `inconsistent` when something else has one of them.
   */
  claim(start: number, count: number): void {
    const end = start + count
    if (!(start >= 0 && count >= 0 && end <= this.#blockCount)) {
      const message = `${count} blocks from ${start} on do not lie among its ${this.#blockCount} blocks`
      throw new SurveyError('out-of-range', message)
    }
    for (let i = start; i < end; ) {
      const isWholeByte = (i & 7) === 0 && end - i >= 8
      const mask = isWholeByte ? 0xff : 1 << (i & 7)
      if ((this.#bits[i >>> 3]! & mask) !== 0) {
        throw new SurveyError('inconsistent', `two things have block ${i} or one close behind`)
      }
      this.#bits[i >>> 3]! |= mask
      i += isWholeByte ? 8 : 1
    }
  }

  /**
   * Compares with a piece of the bitmap of allocated blocks, which begins with block `first`, a multiple of 8.
   *
   * @throws SurveyError `inconsistent` when the bitmap has a block as free that something has.
   */
  assertAllocated(bitmap: Uint8Array, first: number): void {
    const claimed = this.#bits.subarray(first / 8, first / 8 + bitmap.length)
    const lost = claimed.findIndex((bits, i) => (bits & ~bitmap[i]!) !== 0)
    ensure(
      lost < 0,
      'inconsistent',
      `the bitmap has a block as free that is in use, at ${first + lost * 8} or close behind`,
    )
  }
}
