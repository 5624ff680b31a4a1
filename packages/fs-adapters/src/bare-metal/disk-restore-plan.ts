import type { TargetInfo } from '@platter/core'
import type { ByteRange, Partition, PartitionTable } from '../partitions/partition-table.ts'
import type { DiskWrite } from '../partitions/rewrite-partition-table.ts'

/** What has to be known of the place where a disk shall go. */
export type RestorePlace = Pick<TargetInfo, 'label' | 'capacityBytes' | 'logicalSectorBytes'>

/** Options of `planDiskRestore`. */
export interface DiskRestoreOptions {
  /** Only this partition, by its number; the target's first byte becomes its first. Default: the whole disk. */
  readonly partition?: number
  /** Size of the disk that the target shall be, where it has none itself, as a file. Default: that of the image. */
  readonly sizeBytes?: number
  /** Number of a partition whose entry takes the free space behind it. */
  readonly grow?: number
  /** New GUIDs of disk and partitions, a new disk signature. Default false. */
  readonly newIdentity?: boolean
  /** Size of the sectors of the disk, where that is known for certain: of a device that was backed up. */
  readonly sectorBytes?: number
  /** What is restored, such as the id of a snapshot: an interrupted restore is taken up only for the same. */
  readonly label?: string
  /** Where GUIDs come from. Default: the random bytes of the system. */
  readonly random?: (lengthBytes: number) => Uint8Array
  readonly signal?: AbortSignal
}

/** How an image comes to its place. Ranges with `image` in their description count from its start, others on the target. */
export interface DiskRestorePlan {
  /** The range of the image that is restored; its first byte becomes the target's first. */
  readonly range: ByteRange
  /** Ranges of the image that are left out of that, ascending: what makes the target a disk is written last. */
  readonly except: readonly ByteRange[]
  /** Bytes of the target that are made use of. */
  readonly sizeBytes: number
  /** Cleared before anything else is written, ascending. */
  readonly clear: readonly ByteRange[]
  /** Written when all else is durable, in this order, each made durable before the next. */
  readonly finally: readonly DiskWrite[]
  /** Tells the target of this restore from that of another while it is under way. */
  readonly mark: string
  /** As it is in the image, and as it will be; undefined where it stays the same, bit for bit. */
  readonly table: PartitionTable
  readonly newTable: PartitionTable | undefined
  readonly partition: Partition | undefined
  /** What a person should know: what changes, and what is to be done next. */
  readonly notes: readonly string[]
}
