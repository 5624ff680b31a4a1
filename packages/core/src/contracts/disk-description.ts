/**
 * What a backup reads of a disk.
 *
 * - `used`: what filesystems use. Free blocks are left out, and so are the pages of swap space.
 * - `used-and-swap`: the same with the pages of swap space.
 * - `exact`: everything, bit for bit.
 */
export type DiskPolicy = 'used' | 'used-and-swap' | 'exact'

/**
 * What was found on a disk when it was backed up, for people and programs to look at; nothing is restored by it. Codes
 * and kinds are texts, since a later version may know more of them. Sizes and places are in bytes.
 */
export interface DiskDescription {
  /** One of {@link DiskPolicy}. */
  readonly policy: string
  readonly table: TableDescription
  /** In ascending order of their numbers. */
  readonly partitions: readonly PartitionDescription[]
  /** What is on a disk that has no partition table. */
  readonly volume?: VolumeDescription
  /**
   * How much of the disk is in use, for a picture of it: it is divided into as many parts of one size as there are
   * numbers, from 0 (all of it is free) to 255 (none is). What nothing is known of counts as in use.
   */
  readonly usage: readonly number[]
}

export interface TableDescription {
  /** `gpt`, `hybrid`, `mbr`, `none`, or `unusable`. */
  readonly kind: string
  /** Size of the sectors that the table counts in. */
  readonly sectorBytes: number
  /** GUID or signature of the disk. */
  readonly id?: string
  /** One `error` among them, and the disk was read whole. */
  readonly problems: readonly TableProblemDescription[]
}

export interface TableProblemDescription extends DiskProblem {
  /** `error` or `warning`. */
  readonly severity: string
}

/** Something wrong, or not understood. Codes are those in docs/disks.md. */
export interface DiskProblem {
  readonly code: string
  readonly message: string
}

export interface PartitionDescription {
  /** As Linux counts, from 1. */
  readonly number: number
  /** `primary`, `extended` or `logical`. */
  readonly kind: string
  readonly offset: number
  readonly length: number
  /** Type GUID, or the type byte as two hexadecimal digits. */
  readonly type: string
  /** Name of a well-known type. */
  readonly typeName?: string
  /** As Linux has it in PARTUUID. */
  readonly partUuid: string
  readonly name?: string
  readonly bootable: boolean
  /** What is in it; absent for an extended partition, and where the table cannot be trusted. */
  readonly volume?: VolumeDescription
}

/** What is on a partition, or on a disk without partitions. */
export interface VolumeDescription {
  /** Absent when nothing was recognised, or more than one thing. */
  readonly filesystem?: FilesystemDescription
  /** What the filesystem uses, and what lies around it; absent when that is not known. */
  readonly usedBytes?: number
  /** What was left out of the backup and is restored as zeros, by what it is. */
  readonly leftOut: readonly LeftOut[]
  /** Why it is not known what is in use, so that all of it was read. */
  readonly problem?: DiskProblem
}

export interface FilesystemDescription {
  /** Such as `ext4`, `fat32`, `swap`. */
  readonly type: string
  readonly label?: string
  readonly uuid?: string
  /** Unit of allocation. */
  readonly blockBytes: number
  /** Size of the filesystem, which may differ from that of the partition. */
  readonly sizeBytes: number
}

export interface LeftOut {
  /** `free` or `swap`. */
  readonly use: string
  readonly bytes: number
}
