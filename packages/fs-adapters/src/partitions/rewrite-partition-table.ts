import { randomBytes } from 'node:crypto'
import { PlatterError } from '@platter/core'
import { SECTOR_SIZES } from './decode-partition-table.ts'
import type { PartitionTable } from './partition-table.ts'
import { rewriteGpt } from './rewrite-gpt.ts'
import { rewriteMbr } from './rewrite-mbr.ts'

/** Bytes that are to be written to a disk. */
export interface DiskWrite {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** How a table shall differ from what was read. Partitions stay where they are. */
export interface PartitionTableChanges {
  /** Size of the disk that it is written to. Default: that of the disk it was read from. */
  readonly sizeBytes?: number
  /** Size of the logical sectors of that disk, 512 or 4096. Default: as it was read. */
  readonly sectorBytes?: number
  /**
   * Number of a partition that takes the free space behind it, up to a multiple of 1 MiB. Without free space it stays
   * as it is. Only the entry grows; its filesystem is left to the tools of that.
   */
  readonly grow?: number
  /**
   * Gives a clone an identity of its own: new GUIDs of disk and partitions, a new disk signature. What refers to the old
   * ones, such as boot loaders or PARTUUID in an fstab, no longer finds them. Default false.
   */
  readonly newIdentity?: boolean
  /** Where GUIDs come from. Default: the random bytes of the system. */
  readonly random?: (lengthBytes: number) => Uint8Array
}

/** What is to be written, and how the disk reads then. */
export interface RewrittenTable {
  /**
   * Whole sectors, in the order in which to write them: the copy of a GPT that was read goes last, so that one is always
   * sound.
   */
  readonly writes: readonly DiskWrite[]
  readonly table: PartitionTable
}

/**
 * Computes the bytes that put a partition table on a disk of another size, repair a damaged copy, grow a partition, or
 * give a clone new ids. Does no I/O: everything that can be refused is refused here, before a byte is written. Whatever
 * the changes, both copies of a GPT come out sound, and the backup at the end of the disk. The result was read again.
 * An MBR whose bytes stay the same needs no writes, nor does a disk without a table.
 *
 * ```ts
 * const table = await readPartitionTable(image)
 * const { writes } = rewritePartitionTable(table, { sizeBytes: diskBytes, grow: 2 })
 * for (const { offset, bytes } of writes) await disk.write(offset, bytes)
 * ```
 *
 * @throws ERR_PARTITION_TABLE when the table is not trustworthy, or cannot express what is asked for;
 * ERR_TARGET_TOO_SMALL when the partitions do not fit, with the smallest size as `expected`; ERR_INVALID_ARGUMENT
 */
export function rewritePartitionTable(
  table: PartitionTable,
  changes: PartitionTableChanges = {},
): RewrittenTable {
  assertTrustworthy(table)
  const { sizeBytes = table.sizeBytes, sectorBytes = table.sectorBytes, grow } = changes
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new PlatterError('ERR_INVALID_ARGUMENT', `${sizeBytes} is not the size of a disk.`)
  if (!SECTOR_SIZES.includes(sectorBytes))
    throw new PlatterError('ERR_INVALID_ARGUMENT', `Sectors have ${SECTOR_SIZES.join(' or ')} bytes.`)
  if (grow !== undefined && !table.partitions.some(({ number }) => number === grow))
    throw new PlatterError('ERR_INVALID_ARGUMENT', `There is no partition ${grow} that could grow.`)
  const { newIdentity = false, random = randomBytes } = changes
  const all: ResolvedChanges = { sizeBytes, sectorBytes, grow, newIdentity, random }
  switch (table.kind) {
    case 'gpt':
    case 'hybrid':
      return rewriteGpt(table, all)
    case 'mbr':
      return rewriteMbr(table, all)
    default:
      return { writes: [], table: { ...table, sizeBytes, sectorBytes } }
  }
}

/** Changes with all defaults in place. */
export interface ResolvedChanges {
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly grow: number | undefined
  readonly newIdentity: boolean
  readonly random: (lengthBytes: number) => Uint8Array
}

function assertTrustworthy({ isTrustworthy, problems }: PartitionTable): void {
  if (isTrustworthy) return
  const why = problems.filter(({ severity }) => severity === 'error').map(({ message }) => message)
  throw new PlatterError(
    'ERR_PARTITION_TABLE',
    `The partition table cannot be relied upon, so it is not rewritten; restore the disk as it was. ${why.join(' ')}`,
  )
}
