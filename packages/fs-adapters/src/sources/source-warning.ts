/** Something to be known about a source that stops nothing. */
export interface SourceWarning {
  /**
   * - WARN_SOURCE_MOUNTED: what is read may change meanwhile, and be from different moments.
   * - WARN_SOURCE_CACHED: what the kernel holds of a disk in memory cannot be dropped, and may be out of date.
   * - WARN_VOLUME_READ_WHOLE: it is not known what a partition, or a disk without partitions, uses; all of it is read.
   * - WARN_DISK_READ_WHOLE: the partition table cannot be trusted; all of the disk is read.
   */
  readonly code:
    | 'WARN_SOURCE_MOUNTED'
    | 'WARN_SOURCE_CACHED'
    | 'WARN_VOLUME_READ_WHOLE'
    | 'WARN_DISK_READ_WHOLE'
  readonly message: string
  readonly path: string
  /** Why something is read whole: the code of a problem, as in docs/disks.md. */
  readonly reason?: string
  /** Number of the partition that is read whole. */
  readonly partition?: number
}

/** An option of whatever opens a source. */
export interface SourceWarningOption {
  /** Called while the source is opened. Without it warnings are dropped. */
  readonly onWarning?: (warning: SourceWarning) => void
}

/** The warning for a device with a file system that takes writes. */
export function mountedWarning(path: string, mountPoint: string): SourceWarning {
  return {
    code: 'WARN_SOURCE_MOUNTED',
    message: `'${path}' is in use: mounted for writing at ${mountPoint}. What is written there meanwhile may be backed up in part; read from a snapshot of the volume, or freeze the file system (fsfreeze).`,
    path,
  }
}

/** The warning where the system call is missing that makes the kernel forget what it holds of a device. */
export function staleWarning(path: string): SourceWarning {
  return {
    code: 'WARN_SOURCE_CACHED',
    message: `What the kernel holds of '${path}' in memory may be out of date, if its partitions were written to since it was read last, and cannot be dropped without the optional package koffi. Install that, or run 'blockdev --flushbufs' on it first.`,
    path,
  }
}
