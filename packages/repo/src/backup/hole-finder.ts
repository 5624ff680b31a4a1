import { BLOCK_BYTES, MIN_HOLE_BYTES } from '../format/limits.ts'

/** What a {@link HoleFinder} tells about a region, in ascending order. Positions are image offsets. */
export interface HoleSink {
  /** Bytes up to `end` are data of the segment under way. */
  feed(end: number): void
  /** The segment under way ends at `end`; what was not fed yet is data too. */
  close(end: number): void
  /** A hole; a new segment starts behind it. */
  hole(from: number, to: number): void
  /** Unused space; a new segment starts behind it. */
  unused(from: number, to: number): void
}

/**
 * Splits a region into data segments and holes. A hole is a run of zero blocks of 64 KiB or more, whether it was
 * read or known; shorter runs stay inside the data. Whether a run of zeros at the end of what was seen so far is
 * a hole may be undecided: such bytes are not fed yet.
 */
export class HoleFinder {
  readonly #sink: HoleSink
  #regionStart = 0
  /** Start of the zero run that ends at the last byte seen, while that is not decided; else -1. */
  #zerosFrom = -1
  /** Start of the hole under way, or -1. */
  #holeFrom = -1

  constructor(sink: HoleSink) {
    this.#sink = sink
  }

  start(regionStart: number): void {
    this.#regionStart = regionStart
    this.#zerosFrom = -1
    this.#holeFrom = -1
  }

  /** Whether the last bytes seen belong to a hole. */
  get inHole(): boolean {
    return this.#holeFrom >= 0
  }

  /**
   * Takes scanned blocks from image offset `offset` on.
   *
   * @param zeroFlags 1 for each block that is all zero.
   * @param end where the bytes end: behind the last block, or within it at the end of the image.
   */
  blocks(offset: number, end: number, zeroFlags: Uint8Array): void {
    const count = Math.ceil((end - offset) / BLOCK_BYTES)
    for (let i = 0; i < count; i++) {
      if (zeroFlags[i] === 1) {
        if (this.#zerosFrom < 0 && this.#holeFrom < 0) this.#zerosFrom = offset + i * BLOCK_BYTES
      } else if (this.#zerosFrom >= 0 || this.#holeFrom >= 0) {
        this.#data(offset + i * BLOCK_BYTES)
      }
    }
    if (this.#holeFrom >= 0) return
    if (this.#zerosFrom < 0) this.#sink.feed(end)
    else if (end - this.#zerosFrom >= MIN_HOLE_BYTES) this.#openHole(this.#zerosFrom)
    else this.#sink.feed(this.#zerosFrom)
  }

  /** A stretch known to be zero. */
  knownHole(offset: number): void {
    if (this.#holeFrom < 0) this.#openHole(this.#zerosFrom >= 0 ? this.#zerosFrom : offset)
  }

  /** A stretch the filesystem does not use. */
  unused(offset: number, length: number): void {
    this.#finish(offset)
    this.#sink.unused(offset, offset + length)
  }

  /** The region ends at `end`. Zeros alone are a hole, however few. */
  end(end: number): void {
    if (this.#zerosFrom === this.#regionStart) this.#openHole(this.#regionStart)
    this.#finish(end)
  }

  #data(at: number): void {
    if (this.#holeFrom < 0 && at - this.#zerosFrom >= MIN_HOLE_BYTES) this.#openHole(this.#zerosFrom)
    if (this.#holeFrom >= 0) this.#sink.hole(this.#holeFrom, at)
    this.#zerosFrom = -1
    this.#holeFrom = -1
  }

  #openHole(from: number): void {
    this.#sink.close(from)
    this.#holeFrom = from
    this.#zerosFrom = -1
  }

  #finish(at: number): void {
    if (this.#holeFrom >= 0) this.#sink.hole(this.#holeFrom, at)
    else this.#sink.close(at)
    this.#zerosFrom = -1
    this.#holeFrom = -1
  }
}
