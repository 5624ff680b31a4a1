import type { ByteRange } from './snapshot-types.ts'

/** How far a restore has come. */
export interface RestoreProgress {
  /** Image bytes dealt with, holes included. */
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly bytesWritten: number
  readonly seconds: number
}

/** Options of {@link Repository.restore}. */
export interface RestoreOptions {
  /** Read the target and write only what differs. Needs a target that can be read back. */
  readonly onlyDifferent?: boolean
  /**
   * Restore what is left of a damaged snapshot: ranges that are not there become zeros and are reported in
   * `damagedRanges`. Without it, such a snapshot is refused.
   */
  readonly allowDamaged?: boolean
  /** Worker threads; 0 does all in the calling thread. Default: one per core, at most 8. */
  readonly workers?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: RestoreProgress) => void
  readonly progressMillis?: number
}

/** What a restore did. All sizes in bytes. */
export interface RestoreStats {
  readonly bytesTotal: number
  /** Data written. */
  readonly bytesWritten: number
  /** Made to read as zeros, or known to. */
  readonly bytesZeroed: number
  /** Found to be on the target already. */
  readonly bytesUnchanged: number
  /** With `allowDamaged`: ranges of the image that are lost, ascending and merged; they hold zeros. */
  readonly damagedRanges?: readonly ByteRange[]
  readonly seconds: number
}
