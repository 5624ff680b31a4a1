import type { DiskDescription } from './disk-description.ts'

/**
 * What a range of an image is: `data` must be read; a `hole` is known to read as zeros; `unused` is left out
 * because its filesystem does not use it, and restores as zeros.
 */
export type ExtentKind = 'data' | 'hole' | 'unused'

/** A range of an image, in bytes. */
export interface Extent {
  readonly offset: number
  readonly length: number
  readonly kind: ExtentKind
}

/**
 * An open file descriptor from which image bytes can be read directly, by any number of worker threads at once. They
 * read at offsets that they name (`pread`), so it must be one of a file or device that can be read in this way, not of
 * a pipe; where it stands does not matter, and nobody moves it. It belongs to the source: readers never close it.
 * A read that ends early, before `sizeBytes`, is taken for a source that has changed (ERR_SOURCE_CHANGED).
 */
export interface DirectRead {
  readonly fd: number
}

export interface SourceCallOptions {
  readonly signal?: AbortSignal
}

/** Facts about a source that stand in the snapshot. */
export interface SourceInfo {
  /** What it is: 'file', 'block-device', 'stream', 'memory', or a name of the implementer's. */
  readonly kind: string
  /** Where it comes from, for people: a path, '-' for standard input. */
  readonly label: string
  /** Size in bytes; undefined for a stream, whose end is found by reading. */
  readonly sizeBytes: number | undefined
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
}

/** An image to be backed up. */
export interface BlockSource extends AsyncDisposable {
  readonly info: SourceInfo

  /**
   * True when `read` must be called with ascending, gapless offsets, as for a pipe. Such a source has no
   * extents, and nothing of it can be read twice.
   */
  readonly sequential: boolean

  /** What is known of the disk that this is; goes into the snapshot. Absent where nobody has looked. */
  readonly disk?: DiskDescription

  /**
   * When present, image offset n is file offset n of this descriptor, and workers read it themselves; `read` is
   * then used only in-process. The source keeps the descriptor open until `close`.
   */
  readonly direct?: DirectRead

  /**
   * Ascending extents that cover the whole image without gap or overlap. Not called for sequential sources.
   *
   * @throws ERR_SOURCE_READ, ERR_SOURCE_CHANGED
   */
  extents(options?: SourceCallOptions): AsyncIterable<Extent>

  /**
   * Reads up to `into.length` bytes at `offset` and says how many; 0 only at the end of the image.
   *
   * @throws ERR_SOURCE_READ with the offset at which reading failed; ERR_SOURCE_CHANGED when there is less than
   * `info.sizeBytes` says.
   */
  read(offset: number, into: Uint8Array, options?: SourceCallOptions): Promise<number>

  /**
   * Called once after everything was read: throws when the source visibly changed meanwhile (its size differs,
   * a stream was cut off).
   *
   * @throws ERR_SOURCE_CHANGED
   */
  assertUnchanged(): Promise<void>

  close(): Promise<void>
}
