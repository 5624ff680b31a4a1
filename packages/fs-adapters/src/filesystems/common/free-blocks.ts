import { assert } from '@platter/core'
import type { VolumeExtent } from '../filesystem-map.ts'
import { forEachRun, setBits } from './bitmap-runs.ts'
import { ensure } from './survey-error.ts'

/** Blocks of which one piece of the map tells: 4 GiB of blocks of 4 KiB. */
const SEGMENT_BLOCKS = 2 ** 20

/** 1 PiB of blocks of 4 KiB. */
const MAX_BLOCKS = 2 ** 38

/** Enough for 16 TiB of blocks of 4 KiB that are used and free in turn, and for some hundred TiB as they are found. */
const MAX_MAP_BYTES = 512 * 2 ** 20

/** Blocks that follow each other. */
export interface BlockRun {
  readonly start: number
  readonly count: number
}

/**
 * The free blocks of a volume. Every 2^20 blocks take as many bytes as they have runs, two or three for a long one,
 * or 128 KiB as a bitmap where that is less: at most 32 MiB for each TiB of 4 KiB blocks, and seldom a tenth of it.
 */
export class FreeBlocks {
  readonly #blockCount: number
  /** Lengths of runs in turn, used first, as variable length numbers; or a bitmap, where a set bit is a free block. */
  readonly #segments: readonly (RunLengths | Uint8Array)[]

  /** Made by {@link FreeBlocksBuilder}. */
  constructor(blockCount: number, segments: readonly (RunLengths | Uint8Array)[]) {
    this.#blockCount = blockCount
    this.#segments = segments
  }

  /** Runs of free blocks, ascending; a long one comes in pieces that touch. */
  *runs(): Generator<BlockRun> {
    for (const [i, segment] of this.#segments.entries()) {
      const base = i * SEGMENT_BLOCKS
      const blocks = Math.min(SEGMENT_BLOCKS, this.#blockCount - base)
      for (const { start, count } of segment instanceof Uint8Array
        ? bitmapRuns(segment, blocks)
        : segment.runs()) {
        yield { start: base + start, count }
      }
    }
  }

  /** The same as ranges of a volume on which block 0 begins at `blocksAt`. Can be iterated any number of times. */
  extents(blockBytes: number, blocksAt = 0): Iterable<VolumeExtent> {
    const runs = () => this.runs()
    return {
      *[Symbol.iterator]() {
        for (const { start, count } of runs()) {
          yield { offset: blocksAt + start * blockBytes, length: count * blockBytes, use: 'free' }
        }
      },
    }
  }
}

/** Collects free blocks in ascending order; what is not said to be free is used. */
export class FreeBlocksBuilder {
  readonly #blockCount: number
  readonly #segments: (RunLengths | Uint8Array)[] = []
  readonly #bitmap: Uint8Array
  #end = 0
  #mapBytes = 0

  /** @throws SurveyError `too-costly` when there are more blocks than can be told of. */
  constructor(blockCount: number) {
    ensure(blockCount <= MAX_BLOCKS, 'too-costly', `it has ${blockCount} blocks, more than ${MAX_BLOCKS}`)
    this.#blockCount = blockCount
    this.#bitmap = new Uint8Array(Math.ceil(Math.min(blockCount, SEGMENT_BLOCKS) / 8))
  }

  /**
   * Says that `count` blocks from `start` on are free. They must lie behind those that were said before.
   *
   * @throws SurveyError `too-costly` when the map gets too large.
   */
  addFree(start: number, count: number): void {
    const end = start + count
    assert(start >= this.#end && end <= this.#blockCount, 'free blocks come in ascending order')
    this.#end = end
    for (let at = start; at < end; ) {
      while (at >= (this.#segments.length + 1) * SEGMENT_BLOCKS) this.#seal()
      const base = this.#segments.length * SEGMENT_BLOCKS
      const piece = Math.min(end, base + SEGMENT_BLOCKS) - at
      setBits(this.#bitmap, at - base, piece)
      at += piece
    }
  }

  finish(): FreeBlocks {
    while (this.#segments.length * SEGMENT_BLOCKS < this.#blockCount) this.#seal()
    return new FreeBlocks(this.#blockCount, this.#segments)
  }

  #seal(): void {
    const blocks = Math.min(SEGMENT_BLOCKS, this.#blockCount - this.#segments.length * SEGMENT_BLOCKS)
    const bytes = this.#bitmap.subarray(0, Math.ceil(blocks / 8))
    const segment = RunLengths.of(bytes, blocks) ?? bytes.slice()
    this.#segments.push(segment)
    this.#mapBytes += segment instanceof Uint8Array ? segment.length : segment.bytes.length
    ensure(this.#mapBytes <= MAX_MAP_BYTES, 'too-costly', `its map takes more than ${MAX_MAP_BYTES} bytes`)
    this.#bitmap.fill(0)
  }
}

/** Runs of a segment as lengths, each in one to three bytes of seven bits, the lowest first. */
class RunLengths {
  readonly bytes: Uint8Array

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Undefined when the bitmap is smaller. */
  static of(bitmap: Uint8Array, blocks: number): RunLengths | undefined {
    const bytes: number[] = []
    let previousIsFree = true
    forEachRun(bitmap, blocks, (_, count, isFree) => {
      if (bytes.length > bitmap.length) return
      if (isFree === previousIsFree) bytes.push(0) // the first run is one of used blocks, even if there are none
      previousIsFree = isFree
      for (let rest = count; ; rest >>>= 7) {
        bytes.push(rest < 128 ? rest : (rest & 127) | 128)
        if (rest < 128) break
      }
    })
    return bytes.length > bitmap.length ? undefined : new RunLengths(Uint8Array.from(bytes))
  }

  *runs(): Generator<BlockRun> {
    let at = 0
    let isFree = false
    for (let i = 0; i < this.bytes.length; isFree = !isFree) {
      let count = 0
      for (let shift = 0; ; shift += 7) {
        const byte = this.bytes[i++]!
        count |= (byte & 127) << shift
        if (byte < 128) break
      }
      if (isFree && count > 0) yield { start: at, count }
      at += count
    }
  }
}

function* bitmapRuns(bitmap: Uint8Array, blocks: number): Generator<BlockRun> {
  // A generator cannot yield from within a callback; a few thousand blocks at a time keep the list short.
  const PIECE = 2 ** 14
  for (let base = 0; base < blocks; base += PIECE) {
    const found: BlockRun[] = []
    forEachRun(bitmap.subarray(base / 8), Math.min(PIECE, blocks - base), (start, count, isFree) => {
      if (isFree) found.push({ start: base + start, count })
    })
    yield* found
  }
}
