import type { PackId, SessionId, SnapshotId } from '@platter/core'

/** Options of {@link Repository.planPrune}. */
export interface PlanOptions {
  /** Space in packs that nothing needs, as a fraction of all packs, up to which it is left alone. Default 0.05. */
  readonly maxUnusedFraction?: number
  /** Bytes that one run stores again at most, to empty packs that are needed in part. Default 16 GiB. */
  readonly maxRepackBytes?: number
  /** Seconds without a sign of life after which a writer counts as dead. Default 3600. */
  readonly patienceSeconds?: number
  /** Days after which the checkpoint of a backup that was never finished is given up. Default 30. */
  readonly checkpointDays?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: PruneProgress) => void
}

/** Options of {@link Repository.prune}. */
export interface PruneOptions extends PlanOptions {
  /** Wait for writers that began before the prune, instead of leaving the rest to a later run. Default false. */
  readonly wait?: boolean
  /** How often waiting looks whether they have ended, in milliseconds. Default 15000. */
  readonly pollMillis?: number
  /** Told of every object before it is removed. */
  readonly onRemove?: (removal: Removal) => void
}

/** How far a prune has come. */
export interface PruneProgress {
  readonly phase: 'index' | 'trees' | 'waiting' | 'repacking' | 'removing'
  readonly done: number
  readonly total: number
  /** Bytes stored again so far. */
  readonly bytesRepacked: number
}

/** What is to become of a pack. */
export interface PlannedPack {
  readonly id: PackId
  /**
   * `unreferenced`: no snapshot needs anything in it. `unlisted`: no index segment lists it, and whoever wrote it is
   * gone. `repack`: what is needed of it is stored again elsewhere.
   */
  readonly fate: 'unreferenced' | 'unlisted' | 'repack'
  readonly fileBytes: number
  /** Stored bytes in it that snapshots need. */
  readonly usedBytes: number
}

/** A backup that is under way, or was when its process died. */
export interface WriterUnderWay {
  readonly session: SessionId
  /** When it last gave a sign of life, by its own clock; undefined where it does not say. */
  readonly lastSeen: string | undefined
  /** It counts as dead, and a prune will end it. */
  readonly dead: boolean
}

/** What a prune would do. A plan is data: nothing has been changed, and it may be out of date at any time. */
export interface PrunePlan {
  /** Number the prune will have. */
  readonly generation: number
  /** An earlier prune that has not ended and comes first. */
  readonly unfinished: number | undefined
  readonly packs: readonly PlannedPack[]
  /** Damaged packs that a repair has put aside. They stay. */
  readonly quarantined: readonly PackId[]
  /** All packs before. */
  readonly bytesBefore: number
  /** Packs that go. */
  readonly bytesRemoved: number
  /** What of them is stored again. */
  readonly bytesRepacked: number
  /** Share of the packs' bytes that no snapshot needs. */
  readonly unusedFractionBefore: number
  readonly unusedFractionAfter: number
  /** Checkpoints that are no longer worth keeping: the backup was finished later, or given up. */
  readonly checkpoints: readonly SnapshotId[]
  readonly writers: readonly WriterUnderWay[]
}

/** One object removed, and why. */
export interface Removal {
  readonly object: string
  /** `replaced`: an index segment whose packs are gone, or listed by another one. */
  readonly reason: 'unreferenced' | 'unlisted' | 'repacked' | 'replaced'
  /** The generation whose sweep names it. */
  readonly generation: number
}

/** What a prune did. All sizes in bytes. */
export interface PruneReport {
  /** `pending`: writers that began before are still under way; a later run does the rest. `nothing`: all is in order. */
  readonly outcome: 'done' | 'pending' | 'nothing'
  readonly generation: number
  readonly packsRemoved: number
  readonly segmentsRemoved: number
  readonly bytesRemoved: number
  readonly bytesRepacked: number
  /** Packs that were condemned and are needed after all, or could not be repacked. */
  readonly packsKept: number
  readonly checkpointsForgotten: number
  /** Sessions ended because they seemed dead. */
  readonly sessionsFenced: readonly SessionId[]
  /** Sessions that the rest waits for. */
  readonly waitingFor: readonly SessionId[]
  readonly seconds: number
}
