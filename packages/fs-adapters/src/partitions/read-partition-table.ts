import { type BlockSource, PlatterError } from '@platter/core'
import { decodePartitionTable } from './decode-partition-table.ts'
import type { ByteRange, PartitionTable } from './partition-table.ts'

/** What of a source is needed; anything that can be read at random can give it. */
export type PartitionedDisk = Pick<BlockSource, 'info' | 'read' | 'sequential'>

export interface ReadPartitionTableOptions {
  /** Size of a logical sector, where the source does not know better: 4096 for an image of such a disk. */
  readonly sectorBytes?: number
  /**
   * Takes the backup of a GPT for true although nothing of the first copy confirms it (`backup-unconfirmed`): for a
   * person to decide. Default false.
   */
  readonly trustBackup?: boolean
  readonly signal?: AbortSignal
}

/**
 * Reads the partition table of a disk: a GPT, an MBR, none, or one that cannot be used. Whatever the disk holds, the
 * result is a value. What is wrong are `problems` in it, and unless it `isTrustworthy`: read the disk whole.
 *
 * The size of sectors is that of a block device; for everything else it is found out from where the GPT stands. Reads
 * at most some 50 MiB, some 50 KiB as a rule, nothing beyond the disk, and takes sectors that cannot be read for damaged.
 *
 * ```ts
 * const table = await readPartitionTable(disk)
 * for (const { number, typeName, offset, length } of table.partitions) console.log(number, typeName, offset, length)
 * ```
 *
 * @throws ERR_SOURCE_UNSUPPORTED for a source of unknown size or that is sequential, and what `read` throws, but for
 * ERR_SOURCE_READ.
 */
export async function readPartitionTable(
  disk: PartitionedDisk,
  options: ReadPartitionTableOptions = {},
): Promise<PartitionTable> {
  const { sizeBytes, kind, label, logicalSectorBytes } = disk.info
  if (disk.sequential || sizeBytes === undefined) {
    throw new PlatterError(
      'ERR_SOURCE_UNSUPPORTED',
      `'${label}' cannot be read at random, so its partition table cannot be looked at.`,
      { path: label },
    )
  }
  const { sectorBytes, trustBackup = false, signal } = options
  const decoding = decodePartitionTable({
    sizeBytes,
    sectorBytes: sectorBytes ?? logicalSectorBytes,
    sectorBytesCertain: sectorBytes !== undefined || kind === 'block-device',
    trustBackup,
  })
  let step = decoding.next()
  while (!step.done) step = decoding.next(await readRange(disk, step.value, signal))
  return step.value
}

/** The bytes of a range, or undefined where they cannot be read. */
async function readRange(
  disk: PartitionedDisk,
  { offset, length }: ByteRange,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length)
  let filled = 0
  try {
    while (filled < length) {
      const count = await disk.read(offset + filled, bytes.subarray(filled), signal ? { signal } : {})
      if (count === 0) return undefined
      filled += count
    }
  } catch (error) {
    if (PlatterError.is(error, 'ERR_SOURCE_READ')) return undefined
    throw error
  }
  return bytes
}
