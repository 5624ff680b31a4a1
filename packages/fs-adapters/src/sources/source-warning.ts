/** Something to be known about a source that stops nothing. */
export interface SourceWarning {
  /** WARN_SOURCE_MOUNTED: what is read may change meanwhile, and be from different moments. */
  readonly code: 'WARN_SOURCE_MOUNTED'
  readonly message: string
  readonly path: string
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
