import { type BlockSource, PlatterError } from '@platter/core'

/** Random access to one volume: a partition, a logical volume, or a disk without partitions. */
export interface Volume {
  readonly sizeBytes: number

  /** Reads up to `into.length` bytes at `offset`, as `BlockSource.read` does. */
  read(offset: number, into: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<number>
}

/** Where a volume lies on its source. */
export interface SourceRange {
  /** First byte. Default 0. */
  readonly offset?: number
  /** Default: to the end of the source. */
  readonly sizeBytes?: number
}

/**
 * A part of a source as a volume.
 *
 * @throws ERR_INVALID_ARGUMENT when the source is a stream, or the range does not lie on it.
 */
export function volumeOf(source: BlockSource, range: SourceRange = {}): Volume {
  const { sizeBytes: sourceBytes, label } = source.info
  if (source.sequential || sourceBytes === undefined) {
    throw new PlatterError('ERR_INVALID_ARGUMENT', `'${label}' can only be read once, from front to back.`, {
      path: label,
    })
  }
  const start = range.offset ?? 0
  const sizeBytes = range.sizeBytes ?? sourceBytes - start
  if (!isWithin(start, sizeBytes, sourceBytes)) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `'${label}' has ${sourceBytes} bytes; a volume of ${sizeBytes} bytes at byte ${start} does not lie on it.`,
      { path: label, offset: start, length: sizeBytes },
    )
  }
  return {
    sizeBytes,
    read: (offset, into, options) =>
      source.read(
        start + offset,
        into.subarray(0, Math.max(0, Math.min(into.length, sizeBytes - offset))),
        options,
      ),
  }
}

/** Whether `length` bytes at `offset` lie within `sizeBytes`, all of them being whole numbers. */
export function isWithin(offset: number, length: number, sizeBytes: number): boolean {
  return (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset <= sizeBytes - length
  )
}
