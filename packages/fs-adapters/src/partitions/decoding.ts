import type { ByteRange } from './partition-table.ts'

/**
 * A decoder that does no I/O: it yields the range it wants, which lies within the disk, and is given its bytes, or
 * undefined where they cannot be read.
 */
export type Decoding<T> = Generator<ByteRange, T, Uint8Array | undefined>

/** What a decoder is told of the disk. */
export interface DiskShape {
  readonly sizeBytes: number
  readonly sectorBytes: number
  /** False for files, which may be images of disks with other sectors. */
  readonly sectorBytesCertain: boolean
  /** Takes the backup of a GPT for true although nothing of the first copy confirms it. */
  readonly trustBackup?: boolean
}

/** Runs a decoder over a disk that lies in memory. */
export function decodeFrom<T>(read: (range: ByteRange) => Uint8Array | undefined, decoding: Decoding<T>): T {
  let step = decoding.next()
  while (!step.done) step = decoding.next(read(step.value))
  return step.value
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
