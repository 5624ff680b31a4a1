import type { DiskDescription, NodeId, SnapshotId } from '@platter/core'
import type { BackupStats } from './backup-types.ts'

/** A range of bytes in an image. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** One image within a snapshot. */
export interface Volume {
  /** Size of the image in bytes. */
  readonly sizeBytes: number
  /** Root of the volume tree; undefined for an empty image. */
  readonly root: NodeId | undefined
  /**
   * Digest of the whole image as it restores, whatever it was cut into: hex of a keyed BLAKE3 over the digests of
   * its 4 KiB blocks (docs/format.md, Image digest).
   */
  readonly imageDigest: string
  readonly source: {
    readonly kind: string
    readonly label: string
    readonly logicalSectorBytes: number
    readonly physicalSectorBytes: number
  }
  /** Ranges the source could not read; they hold zeros. */
  readonly badRanges: readonly ByteRange[]
  /** The snapshot from which parts were taken over without reading them; see `BackupOptions.changedSince`. */
  readonly changedSince?: SnapshotId
  /** What was found on the disk, and what of it was left out; absent where nobody has looked. */
  readonly disk?: DiskDescription
}

/** A committed snapshot. */
export interface Snapshot {
  readonly id: SnapshotId
  readonly name: string
  readonly host: string
  /** ISO 8601 with the writer's offset from UTC, such as 2026-11-22T15:31:07.250+01:00. */
  readonly time: string
  readonly tags: readonly string[]
  /** The newest snapshot of the same name when this one was made. */
  readonly parent: SnapshotId | undefined
  /** Name and version of the program that wrote it. */
  readonly program: string
  readonly volumes: readonly Volume[]
  /**
   * Committed by a backup before it was finished, so that what it had stored is kept; the image ends where it had
   * come to. Left out of listings unless they ask for it.
   */
  readonly checkpoint: boolean
  readonly stats: BackupStats
}
