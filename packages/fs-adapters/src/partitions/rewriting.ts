import { assert, PlatterError } from '@platter/core'
import { decodePartitionTable } from './decode-partition-table.ts'
import { decodeFrom } from './decoding.ts'
import { type ByteRange, endOf, type Partition, type PartitionTable } from './partition-table.ts'
import type { DiskWrite, ResolvedChanges } from './rewrite-partition-table.ts'

/** Grown partitions end at a multiple of this, as partitioning tools have it. */
const GROWTH_BYTES = 2 ** 20

/** @throws ERR_PARTITION_TABLE */
export function refuse(why: string): never {
  throw new PlatterError('ERR_PARTITION_TABLE', `The partition table cannot be rewritten: ${why}.`)
}

/** @throws ERR_TARGET_TOO_SMALL when a disk has less than `neededBytes`. */
export function assertFits(neededBytes: number, sizeBytes: number): void {
  if (neededBytes <= sizeBytes) return
  throw new PlatterError(
    'ERR_TARGET_TOO_SMALL',
    `The partitions and their table need ${neededBytes} bytes, and the disk has ${sizeBytes}. Shrink or leave out what is at the end.`,
    { expected: neededBytes, actual: sizeBytes },
  )
}

/** @throws ERR_PARTITION_TABLE unless all partitions begin and end between sectors. */
export function assertAligned(partitions: readonly Partition[], sectorBytes: number): void {
  for (const { number, offset, length } of partitions) {
    if (offset % sectorBytes === 0 && length % sectorBytes === 0) continue
    refuse(`partition ${number} does not begin and end at a multiple of the ${sectorBytes} bytes of a sector`)
  }
}

/** The partitions with the one that shall grow grown, into what is free before `limit` and all other `ranges`. */
export function grown(
  partitions: readonly Partition[],
  number: number | undefined,
  ranges: readonly ByteRange[],
  limit: number,
): Partition[] {
  return partitions.map((partition) => {
    if (partition.number !== number) return partition
    const end = endOf(partition)
    const free = ranges.reduce(
      (least, { offset }) => (offset >= end ? Math.min(least, offset) : least),
      limit,
    )
    const newEnd = Math.floor(free / GROWTH_BYTES) * GROWTH_BYTES
    return newEnd > end ? { ...partition, length: newEnd - partition.offset } : partition
  })
}

/** Random bytes for an id, at least one of them not zero. */
export function randomId(random: (lengthBytes: number) => Uint8Array, lengthBytes: number): Uint8Array {
  const bytes = random(lengthBytes)
  const isUsable = bytes.length === lengthBytes && bytes.some((byte) => byte !== 0)
  if (!isUsable)
    throw new PlatterError('ERR_INVALID_ARGUMENT', `'random' must give ${lengthBytes} random bytes.`)
  return bytes
}

/**
 * Reads what was computed again, over what is known to be on the disk already. Nothing can be told of the rest of it, so
 * that cannot be read.
 *
 * @throws ERR_INTERNAL unless it is a sound table with these partitions.
 */
export function readAgain(
  writes: readonly DiskWrite[],
  present: readonly DiskWrite[],
  partitions: readonly Partition[],
  { sizeBytes, sectorBytes }: ResolvedChanges,
): PartitionTable {
  const read = (range: ByteRange): Uint8Array | undefined => known(range, [...present, ...writes])
  const disk = { sizeBytes, sectorBytes, sectorBytesCertain: true }
  const table = decodeFrom(read, decodePartitionTable(disk))
  assert(table.isTrustworthy, 'a rewritten partition table is not sound')
  const ranges = (all: readonly Partition[]): string =>
    all.map(({ number, offset, length, type }) => `${number} ${type} ${offset}+${length}`).join()
  assert(ranges(table.partitions) === ranges(partitions), 'a rewritten partition table has other partitions')
  for (const { offset, bytes } of writes)
    assert(
      offset % sectorBytes === 0 && bytes.length % sectorBytes === 0 && offset + bytes.length <= sizeBytes,
      'a partition table is written beyond its disk',
    )
  return table
}

/** The bytes of a range, of which later pieces count more than earlier ones; undefined unless all of it is known. */
function known({ offset, length }: ByteRange, pieces: readonly DiskWrite[]): Uint8Array | undefined {
  const end = offset + length
  for (let at = offset; at < end; ) {
    const reached = at
    const piece = pieces.find((one) => one.offset <= reached && reached < one.offset + one.bytes.length)
    if (piece === undefined) return undefined
    at = piece.offset + piece.bytes.length
  }
  const into = new Uint8Array(length)
  for (const piece of pieces) {
    const from = Math.max(offset, piece.offset)
    const to = Math.min(end, piece.offset + piece.bytes.length)
    if (from < to) into.set(piece.bytes.subarray(from - piece.offset, to - piece.offset), from - offset)
  }
  return into
}
