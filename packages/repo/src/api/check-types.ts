import type { ErrorCode, SnapshotId } from '@platter/core'

/** Options of {@link Repository.check}. */
export interface CheckOptions {
  /** Also read packs and verify every blob in them: all, or a random fraction between 0 and 1 of the packs. */
  readonly readData?: boolean | { readonly fraction: number }
  readonly workers?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: CheckProgress) => void
  readonly progressMillis?: number
}

/** How far a check has come. */
export interface CheckProgress {
  readonly phase: 'snapshots' | 'index' | 'packs' | 'trees' | 'data'
  /** Steps of the phase done, such as packs looked at. */
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
  readonly seconds: number
}
