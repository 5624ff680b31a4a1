import type { ErrorCode, SnapshotId } from '@platter/core'

/**
 * Which packs a check reads: all or none; a random fraction between 0 and 1 of them; or those of one part out of
 * several, numbered from 1. A pack always falls into the same part, so parts 1 to `of` cover every pack once.
 */
export type ReadData =
  | boolean
  | { readonly fraction: number }
  | { readonly part: number; readonly of: number }

/** Options of {@link Repository.check}. */
export interface CheckOptions {
  /** Also read packs and verify every blob in them. Default false. */
  readonly readData?: ReadData
  /** Also restore this snapshot to nowhere and compare the digest of its image: an id, 'latest', or 'latest:NAME'. */
  readonly drill?: string
  readonly workers?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CheckProgress) => void
  readonly progressMillis?: number
}

/** How far a check has come. */
export interface CheckProgress {
  readonly phase: 'snapshots' | 'index' | 'packs' | 'trees' | 'data' | 'drill'
  /** Steps of the phase done, such as packs looked at; bytes of the image in a drill. */
  readonly done: number
  readonly total: number
  readonly bytesRead: number
}

/** Something wrong that a check found. */
export interface Finding {
  readonly code: ErrorCode
  /** What is wrong, and what it means. */
  readonly message: string
  /** Store object concerned, where it is one. */
  readonly object: string | undefined
  /** Snapshots that cannot be restored whole because of it, where known. */
  readonly snapshots: readonly SnapshotId[]
}

/** What a check looked at and found. Findings are values; only inability to check throws. */
export interface CheckReport {
  readonly findings: readonly Finding[]
  readonly snapshots: number
  readonly packs: number
  /** Distinct chunks the snapshots need. */
  readonly chunks: number
  /** Packs read in full. */
  readonly packsRead: number
  readonly bytesRead: number
  /** The snapshot that the restore drill was of; undefined without one. */
  readonly drilled: SnapshotId | undefined
  readonly seconds: number
}
