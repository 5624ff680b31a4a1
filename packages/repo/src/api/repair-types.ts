import type { BlockSource, PackId, SnapshotId } from '@platter/core'
import type { Repository } from '../repository.ts'
import type { Finding } from './check-types.ts'
import type { ByteRange } from './snapshot-types.ts'

/** Options of {@link Repository.repairIndex}. */
export interface RepairIndexOptions {
  /** Find out and report, and write nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: RepairProgress) => void
  readonly progressMillis?: number
}

/** Options of {@link Repository.repairPacks}. */
export interface RepairPacksOptions extends RepairIndexOptions {
  /**
   * Where to look for what the packs have lost: a disk or image that can be read at any place, or another
   * repository. Whatever is taken from there is checked against the id it must have.
   */
  readonly from?: BlockSource | Repository
  readonly workers?: number
}

/** How far a repair has come. */
export interface RepairProgress {
  readonly phase: 'index' | 'packs' | 'data' | 'salvage' | 'trees' | 'heal' | 'commit'
  /** Steps of the phase done, such as packs read. */
  readonly done: number
  /** Undefined where the end is not known. */
  readonly total: number | undefined
  readonly bytesRead: number
}

/** A pack that cannot be used as it is. */
export interface DamagedPack {
  readonly object: string
  readonly id: PackId
  /** What is wrong with it. */
  readonly message: string
}

/** What a repair of the index did, or with `dryRun` would have done. */
export interface RepairIndexReport {
  readonly dryRun: boolean
  /** Packs in the store. */
  readonly packs: number
  /** Packs that new segments list: those that no sound segment listed. */
  readonly packsListed: number
  /** Packs that the index named and that are not there; what only they held is lost. */
  readonly packsMissing: readonly string[]
  /** Packs whose directory cannot be read, and that no segment lists: nothing in them can be found. */
  readonly packsUnlisted: readonly DamagedPack[]
  /** Packs whose directory cannot be read; the index has their content, and goes on listing them. */
  readonly packsDamaged: readonly DamagedPack[]
  readonly segmentsWritten: number
  /** Index segments that were unreadable or wrong, and that the new ones replace. */
  readonly segmentsReplaced: readonly string[]
  /** Those of them that still stand, because the store cannot remove objects. */
  readonly segmentsLeft: readonly string[]
  readonly seconds: number
}

/** A damaged pack and what became of it. */
export interface RepairedPack extends DamagedPack {
  /** Blobs that its directory or the index names. */
  readonly blobs: number
  /** Intact blobs taken over into new packs. */
  readonly blobsSalvaged: number
  /** Damaged blobs of which the repository has another copy. */
  readonly blobsElsewhere: number
  /** Damaged blobs without one; they can be healed only from elsewhere. */
  readonly blobsLost: number
}

/** What a snapshot lacks. */
export interface SnapshotDamage {
  readonly snapshot: SnapshotId
  readonly name: string
  readonly time: string
  /** Ranges of its image that cannot be restored, ascending and merged. */
  readonly ranges: readonly ByteRange[]
}

/** What a repair of the packs did, or with `dryRun` would have done. */
export interface RepairPacksReport {
  readonly dryRun: boolean
  /** Packs read and verified. */
  readonly packs: number
  readonly bytesRead: number
  /** Packs found damaged, or missing. They are kept, put aside under quarantine. */
  readonly packsDamaged: readonly RepairedPack[]
  /** Chunks and nodes that were found in `from`, or in packs that a prune which was cut off was about to remove. */
  readonly blobsHealed: number
  readonly bytesHealed: number
  /** What could not be healed, by snapshot. */
  readonly damage: readonly SnapshotDamage[]
  /** Snapshots whose own record cannot be read; what they lack is not known. */
  readonly unreadableSnapshots: readonly Finding[]
  /** Snapshots newly marked as damaged, or marked with other ranges than before. */
  readonly marked: readonly SnapshotId[]
  /** Snapshots that were marked and are whole again. */
  readonly healed: readonly SnapshotId[]
  readonly segmentsWritten: number
  readonly segmentsReplaced: readonly string[]
  readonly segmentsLeft: readonly string[]
  readonly seconds: number
}
