import type { ErrorCode, SnapshotId } from '@platter/core'
import type { Finding } from '../api/check-types.ts'

/** What a finding is about: reported once, however many snapshots it concerns. */
export interface Problem {
  readonly key: string
  readonly code: ErrorCode
  readonly message: string
  readonly object: string | undefined
}

/** Collects findings, each problem once, with all snapshots it concerns. */
export class Findings {
  readonly #byKey = new Map<string, { readonly problem: Problem; readonly snapshots: Set<SnapshotId> }>()

  add(problem: Problem, snapshot?: SnapshotId): void {
    let entry = this.#byKey.get(problem.key)
    if (entry === undefined) {
      entry = { problem, snapshots: new Set() }
      this.#byKey.set(problem.key, entry)
    }
    if (snapshot !== undefined) entry.snapshots.add(snapshot)
  }

  get(key: string): Problem | undefined {
    return this.#byKey.get(key)?.problem
  }

  list(): Finding[] {
    return [...this.#byKey.values()].map(({ problem: { code, message, object }, snapshots }) => ({
      code,
      message,
      object,
      snapshots: [...snapshots],
    }))
  }
}
