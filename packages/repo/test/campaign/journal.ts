import { writeSync } from 'node:fs'
import type { SnapshotId } from '@platter/core'

/** What a process of a campaign can be busy with. */
export type Job = 'backup' | 'prune' | 'forget' | 'repair' | 'rekey' | 'read' | 'verify'

/** What a process of a campaign says, as it happens: one line of JSON each. */
export type JournalEntry =
  | { readonly event: 'ready' }
  | { readonly event: 'begin'; readonly job: Job; readonly detail?: string }
  | { readonly event: 'phase'; readonly job: Job; readonly phase: string }
  /** A backup has resolved: from now on the snapshot must be there. */
  | { readonly event: 'acknowledged'; readonly snapshot: SnapshotId; readonly image: string }
  /** From now on these may be gone. */
  | { readonly event: 'forgetting'; readonly snapshots: readonly SnapshotId[] }
  /** From now on they must be. */
  | { readonly event: 'forgotten'; readonly snapshots: readonly SnapshotId[] }
  /** A key is about to be put in the place of another, or has been. */
  | { readonly event: 'rekeying' | 'rekeyed'; readonly key: number }
  | { readonly event: 'end'; readonly job: Job; readonly outcome: string; readonly millis: number }
  | { readonly event: 'verified'; readonly found: Verified }
  /** Something that must never happen. */
  | { readonly event: 'wrong'; readonly what: string }

/** What a verification looked at. */
export interface Verified {
  readonly snapshots: number
  readonly checkpoints: number
  /** Whether a prune had been cut off after its mark. */
  readonly unfinished: boolean
  /** Files under way that dead processes had left behind. */
  readonly temporaryFiles: number
  /** The one key that opens the repository afterwards. */
  readonly key: number | undefined
}

/** Writes at once: what was told stays told when the process is killed. */
export function tell(entry: JournalEntry): void {
  writeSync(1, `${JSON.stringify(entry)}\n`)
}
