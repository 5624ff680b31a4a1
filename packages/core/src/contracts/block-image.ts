import type { Extent } from './block-source.ts'

/** Options of {@link BlockImage.extents}. */
export interface ImageRange {
  /** First byte; 0 unless given. */
  readonly offset?: number
  /** Bytes; up to the end of the image unless given. */
  readonly length?: number
  readonly signal?: AbortSignal
}

/** An image that can be read at any place, by any number of readers at once: a snapshot, an overlay over one. */
export interface BlockImage {
  readonly sizeBytes: number

  /** Fills `into` with the bytes at `offset`, and says how many there were; fewer only where the image ends. */
  readInto(offset: number, into: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<number>

  /** What lies where in a range: ascending, without gap, cut at the range's borders. */
  extents(range?: ImageRange): AsyncIterable<Extent>
}

/** An image that can be changed as well. */
export interface WritableImage extends BlockImage {
  /** Writes all of `data`; it must fit into the image. */
  write(offset: number, data: Uint8Array): Promise<void>

  /** Makes a range read as zeros. */
  zero(offset: number, length: number): Promise<void>

  /** Makes all writes that have ended durable. */
  flush(): Promise<void>
}
