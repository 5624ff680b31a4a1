import { assertInteger, InvalidArgumentError } from './errors.ts'
import { GEAR_WINDOW_BYTES } from './gear-hash.ts'
import { BLOCK_BYTES } from './nh-digest.ts'

/**
 * Finds the cut points of a segment of data that is pushed piece by piece. It does no I/O and keeps no data.
 *
 * Cuts are numbers of bytes from the start of the segment, ascending; a segment's chunks lie between 0 and its first
 * cut, between that and the second, and so on. The cuts do not depend on how the segment is split into pushes.
 *
 * @example
 * const count = chunker.push(bytes)
 * for (let i = 0; i < count; i++) endChunkAt(chunker.cuts[i])
 */
export interface Chunker {
  /** No chunk is shorter, but the last of a segment. */
  readonly minBytes: number
  /** No chunk is longer. */
  readonly maxBytes: number
  /** Cuts of the last call. It may be replaced by a larger array, so read it anew after each call. */
  readonly cuts: Float64Array

  /**
   * Takes the next bytes of the segment.
   *
   * @returns how many cuts stand in `cuts`
   * @throws InvalidArgumentError when `bytes` is not a Uint8Array or not taken by this kind of chunker
   */
  push(bytes: Uint8Array): number

  /**
   * Ends the segment, and makes ready for the next.
   *
   * @returns 1 when bytes remained since the last cut, with the segment's length in `cuts`; else 0
   */
  finish(): number

  /** Forgets the unfinished segment, and makes ready for the next. */
  reset(): void
}

/** aligned: at 4096-byte multiples by keyed block digests; fastcdc: at any byte by content; fixed: at equal steps. */
export type ChunkerKind = 'aligned' | 'fastcdc' | 'fixed'

/** The sizes a chunker aims at, in bytes. */
export interface ChunkSizes {
  readonly minBytes: number
  readonly averageBytes: number
  readonly maxBytes: number
}

/** What decides the cuts, apart from keys. */
export interface ChunkerConfig extends ChunkSizes {
  readonly kind: ChunkerKind
}

/** The default sizes of content-defined chunks: 64 KiB, 256 KiB, 1 MiB. */
export const DEFAULT_CHUNK_SIZES: Readonly<ChunkSizes> = Object.freeze({
  minBytes: 64 * 1024,
  averageBytes: 256 * 1024,
  maxBytes: 1024 * 1024,
})

/** The largest chunk size that is accepted, 1 GiB. */
export const MAX_CHUNK_BYTES: number = 2 ** 30

/**
 * Checks a chunker's configuration, as it may come from a file.
 *
 * All kinds: minBytes <= averageBytes <= maxBytes <= 1 GiB. aligned: multiples of 4096. fastcdc: minBytes >= 64.
 * fixed: all three equal.
 *
 * @throws InvalidArgumentError
 */
export function assertChunkerConfig(config: ChunkerConfig): void {
  switch (config.kind) {
    case 'aligned':
      assertSizes(config, BLOCK_BYTES, BLOCK_BYTES)
      return
    case 'fastcdc':
      assertSizes(config, GEAR_WINDOW_BYTES, 1)
      return
    case 'fixed':
      assertSizes(config, 1, 1)
      if (config.minBytes === config.maxBytes) return
      throw new InvalidArgumentError(
        `a fixed chunker has one size: minBytes (${config.minBytes}) and maxBytes (${config.maxBytes}) must be equal`,
      )
    default:
      throw new InvalidArgumentError(
        `chunker kind must be 'aligned', 'fastcdc' or 'fixed', but is ${JSON.stringify(config.kind)}`,
      )
  }
}

function assertSizes(sizes: ChunkSizes, leastBytes: number, stepBytes: number): void {
  assertInteger('minBytes', sizes.minBytes, leastBytes, MAX_CHUNK_BYTES, stepBytes)
  assertInteger('averageBytes', sizes.averageBytes, sizes.minBytes, MAX_CHUNK_BYTES, stepBytes)
  assertInteger('maxBytes', sizes.maxBytes, sizes.averageBytes, MAX_CHUNK_BYTES, stepBytes)
}
