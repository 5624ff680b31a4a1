import type { RetentionDecision, RetentionPolicy } from './retention-types.ts'
import type { Snapshot } from './snapshot-types.ts'

/** Which snapshots {@link Repository.planForget} is to plan for. */
export type ForgetSelection =
  | {
      /** All that this policy does not keep. */
      readonly policy: RetentionPolicy
      /** IANA name of the time zone of the policy's calendar. Default: the system's. */
      readonly timeZone?: string
      /** Look at the snapshots of this name only; all others stay. */
      readonly name?: string
      /** Look at the snapshots of this host only; all others stay. */
      readonly host?: string
    }
  | {
      /** These: ids, unique prefixes, 'latest' or 'latest:NAME'. */
      readonly snapshots: readonly string[]
    }

/** Options of {@link Repository.planForget}. */
export interface PlanForgetOptions {
  /** Also find out how many bytes would be freed, for which the trees of all snapshots are read. Default true. */
  readonly sizes?: boolean
  readonly signal?: AbortSignal
  /** Called after each snapshot whose tree was read. */
  readonly onProgress?: (progress: PlanForgetProgress) => void
}

/** How far a plan has come. */
export interface PlanForgetProgress {
  /** Snapshots whose trees were read. */
  readonly done: number
  readonly total: number
}

/** What a plan says of one snapshot. */
export interface PlannedSnapshot extends RetentionDecision<Snapshot> {
  /**
   * Stored bytes of chunks and tree nodes that only this snapshot needs: what a prune could free if it alone were
   * forgotten, also for one that stays. Undefined when sizes were not asked for.
   */
  readonly bytesFreed: number | undefined
}

/**
 * What to forget, and what it would bring: the answer of {@link Repository.planForget}. Nothing has been changed
 * yet. Forgetting frees nothing by itself; sizes are those of the stored blobs, without what pack directories and
 * index hold of them.
 */
export interface ForgetPlan {
  /** Every snapshot that was looked at: for a policy by name, then host, then time; named ones oldest first. */
  readonly snapshots: readonly PlannedSnapshot[]
  /**
   * Stored bytes that no snapshot needs once all planned ones are forgotten: at least the sum of what each frees
   * alone, as some may share what no other needs. Undefined when sizes were not asked for.
   */
  readonly bytesFreed: number | undefined
}
