import type { SnapshotId } from '@platter/core'
import type { JournalEntry } from './journal.ts'

/** What the processes of a campaign have said, added up. */
export class Ledger {
  /** How many jobs ended how: 'backup done', 'backup ERR_SESSION_FENCED'. */
  readonly outcomes = new Map<string, number>()
  acknowledged = 0
  readonly #standing = new Map<SnapshotId, string>()
  /** Being forgotten: they may be there or not. */
  readonly #doomed = new Set<SnapshotId>()
  #forgotten: SnapshotId[] = []
  #keys: number[]
  #key: number | undefined

  /** @param keys numbers of the keys that open the repository. */
  constructor(keys: readonly number[]) {
    this.#keys = [...keys]
  }

  /** In any order, as processes may be heard of in another order than they spoke. */
  take(entry: JournalEntry): void {
    switch (entry.event) {
      case 'acknowledged':
        this.acknowledged++
        if (!this.#doomed.has(entry.snapshot)) this.#standing.set(entry.snapshot, entry.image)
        break
      case 'forgetting':
        for (const id of entry.snapshots) {
          this.#doomed.add(id)
          this.#standing.delete(id)
        }
        break
      case 'forgotten':
        this.#forgotten.push(...entry.snapshots)
        break
      case 'rekeying':
        this.#keys.push(entry.key)
        break
      case 'rekeyed':
        this.#key = Math.max(entry.key, this.#key ?? 0)
        break
      case 'end':
        count(this.outcomes, `${entry.job} ${entry.outcome}`)
        break
    }
  }

  /** Snapshots that must be there, and their images. */
  get standing(): readonly (readonly [SnapshotId, string])[] {
    return [...this.#standing]
  }

  /** Snapshots that must be gone, of those not asked for before. */
  takeForgotten(): readonly SnapshotId[] {
    const forgotten = this.#forgotten
    this.#forgotten = []
    return forgotten
  }

  /** Keys of which one must open the repository. */
  get keys(): readonly number[] {
    return this.#keys
  }

  /** The newest key whose change was acknowledged. */
  get key(): number | undefined {
    return this.#key
  }

  /** All slots but that of this key have been removed. */
  onlyKey(key: number): void {
    this.#keys = [key]
    this.#key = key
  }
}

/** One more of a kind. */
export function count(counts: Map<string, number>, kind: string, times = 1): void {
  counts.set(kind, (counts.get(kind) ?? 0) + times)
}
