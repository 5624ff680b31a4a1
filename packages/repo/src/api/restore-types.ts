import type { RestoreJournal } from '@platter/core'
import type { ByteRange } from './snapshot-types.ts'

/** How far a restore has come. */
export interface RestoreProgress {
  /** Image bytes dealt with, holes included, and what an earlier attempt did. */
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
   * Restore this part of the image only; its first byte becomes the target's first. Default: all of it. The digest of
   * the image is not compared then, but that of every region that lies in the range.
   */
  readonly range?: ByteRange
  /**
   * Ranges of the image that are neither written nor zeroed: what the target has in their places stays. Ascending,
   * without overlap; meant for a few. Not for targets that are `sequential`.
   */
  readonly except?: readonly ByteRange[]
  /**
   * What becomes of ranges that the backup left out because their filesystem does not use them: made to read as zeros,
   * or left as they are on the target. Default `zero`.
   */
  readonly unused?: 'zero' | 'keep'
  /**
   * Notes how far the restore has come, so that after an interruption the next one with the same journal goes on from
   * there. With `onlyDifferent` only. It is removed when all is restored. Bound to the snapshot, the target and what is
   * restored of it. Of each region that is passed over, one chunk is compared; where one differs, all are.
   */
  readonly journal?: RestoreJournal
  /** Image bytes after which the journal is written. Each time the target is flushed. Default 1 GiB. */
  readonly journalBytes?: number
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
  /** Size of what was restored: the image, or the range of it. The sum of the four numbers below. */
  readonly bytesTotal: number
  /** Data written. With `onlyDifferent`, blocks of 4 KiB that differed. */
  readonly bytesWritten: number
  /** Made to read as zeros, or known to. */
  readonly bytesZeroed: number
  /** Found to be on the target already. */
  readonly bytesUnchanged: number
  /** Neither read nor written: `except`, what is `unused` where that is kept, and what an earlier attempt had done. */
  readonly bytesLeft: number
  /** With `allowDamaged`: ranges of the image that are lost, ascending and merged; they hold zeros. */
  readonly damagedRanges?: readonly ByteRange[]
  readonly seconds: number
}
