/** An open file descriptor to which image bytes can be written directly, also by worker threads. */
export interface DirectWrite {
  readonly fd: number
}

export interface TargetCallOptions {
  readonly signal?: AbortSignal
}

/** Facts about a target. */
export interface TargetInfo {
  /** What it is: 'file', 'block-device', 'stream', 'memory', or a name of the implementer's. */
  readonly kind: string
  /** Where it is, for messages. */
  readonly label: string
  /** What fits on it, in bytes; undefined when it grows with what is written. */
  readonly capacityBytes: number | undefined
  /** Size of a logical sector of a device; absent where there is no such thing, as for a file. */
  readonly logicalSectorBytes?: number
  /**
   * What tells this target from others as long as it exists, such as the serial number of a disk: a restore that was
   * interrupted goes on only where it had begun. Absent, kind and label have to do.
   */
  readonly identity?: string
}

/** What {@link BlockTarget.prepare} found. */
export interface PreparedTarget {
  readonly blank: boolean
  readonly resumable?: boolean
}

/** A place to which an image is restored. */
export interface BlockTarget extends AsyncDisposable {
  readonly info: TargetInfo

  /** True when writes must ascend without gaps, as for a pipe; `zero` then emits zeros. */
  readonly sequential: boolean

  /**
   * When present, image offset n is file offset n of this descriptor, and workers write to it themselves, after
   * `prepare`.
   */
  readonly direct?: DirectWrite

  /**
   * Told the image's size before anything is written; may refuse. With `keepContent` what is there is kept, to be
   * compared; otherwise a file is emptied.
   *
   * @returns whether what is not written will read as zeros (`blank`), so that holes need no work; and `resumable:
   * false` when what an earlier attempt left is certainly not there as it left it.
   * @throws ERR_TARGET_TOO_SMALL, ERR_TARGET_WRITE, ERR_TARGET_FULL before a byte is changed.
   */
  prepare(imageBytes: number, options?: { readonly keepContent?: boolean }): Promise<PreparedTarget>

  /** Writes all of `data` at `offset`. @throws ERR_TARGET_WRITE, ERR_TARGET_FULL with the offset. */
  write(offset: number, data: Uint8Array, options?: TargetCallOptions): Promise<void>

  /** Makes a range read as zeros, by punching, discarding or writing. @throws ERR_TARGET_WRITE, ERR_TARGET_FULL */
  zero(offset: number, length: number, options?: TargetCallOptions): Promise<void>

  /**
   * Reads what is there, up to `into.length` bytes; 0 at the end. Absent when the target cannot be read back.
   *
   * @throws ERR_TARGET_WRITE when it cannot be read.
   */
  read?(offset: number, into: Uint8Array, options?: TargetCallOptions): Promise<number>

  /** Makes everything written durable. @throws ERR_TARGET_WRITE, ERR_TARGET_FULL */
  flush(): Promise<void>

  /**
   * Asks the system to forget what it holds of the target in memory, so that what is read next comes from the medium.
   * A hint, given after `flush`; absent where it cannot be given.
   */
  dropCache?(): Promise<void>

  close(): Promise<void>
}
