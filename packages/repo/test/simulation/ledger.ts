import type { SnapshotId, Store } from '@platter/core'
import { MemoryTarget } from '@platter/fs-adapters'
import { type OpenOptions, Repository } from '@platter/repo'

/** A backup that was begun. Its name is in the snapshots it commits, so each can be held against its image. */
export interface Attempt {
  readonly name: string
  readonly image: Uint8Array
  /** It was told that a collector ended its session. */
  fenced: boolean
}

/** Something that must not be. */
export class Violation extends Error {}

/** What was promised to whom: the yardstick for every state of a store. */
export class Ledger {
  readonly attempts = new Map<string, Attempt>()
  /** Snapshots whose commit was acknowledged. */
  readonly committed = new Map<SnapshotId, Attempt>()
  /** Those that somebody set out to forget, and those whose forgetting was acknowledged. */
  readonly forgetBegun = new Set<SnapshotId>()
  readonly forgotten = new Set<SnapshotId>()

  copy(): Ledger {
    const copy = new Ledger()
    for (const [name, attempt] of this.attempts) copy.attempts.set(name, { ...attempt })
    for (const [id, { name }] of this.committed) copy.committed.set(id, copy.attempts.get(name)!)
    for (const id of this.forgetBegun) copy.forgetBegun.add(id)
    for (const id of this.forgotten) copy.forgotten.add(id)
    return copy
  }

  begin(name: string, image: Uint8Array): Attempt {
    const attempt = { name, image, fenced: false }
    this.attempts.set(name, attempt)
    return attempt
  }

  /** Snapshots that everybody may rely on. */
  promised(): SnapshotId[] {
    return [...this.committed.keys()].filter((id) => !this.forgetBegun.has(id))
  }

  /**
   * Holds a repository against what was promised: all snapshots that are visible restore bit for bit, and all that
   * were acknowledged are visible.
   *
   * @param store a copy; nothing else happens in it.
   * @throws Violation
   */
  async verify(store: Store, options: OpenOptions, thoroughly: boolean): Promise<void> {
    await using repo = await Repository.open(store, options)
    const visible = new Set<SnapshotId>()
    for await (const { id, name, checkpoint } of repo.snapshots({ checkpoints: true })) {
      visible.add(id)
      const attempt = this.attempts.get(name)
      if (attempt === undefined) throw new Violation(`There is a snapshot ${id} that nobody made.`)
      if (attempt.fenced && !checkpoint)
        throw new Violation(`${name} was told that nothing was committed, and there is the snapshot ${id}.`)
      const bytes = await restored(repo, id)
      const expected = checkpoint ? attempt.image.subarray(0, bytes.length) : attempt.image
      if (Buffer.compare(bytes, expected) !== 0)
        throw new Violation(`The snapshot ${id} of ${name} restores other bytes than were backed up.`)
    }
    for (const id of this.promised()) {
      if (!visible.has(id))
        throw new Violation(`The snapshot ${id} of ${this.committed.get(id)!.name} is gone.`)
    }
    for (const id of this.forgotten) {
      if (visible.has(id)) throw new Violation(`The snapshot ${id} was forgotten and is there again.`)
    }
    if (!thoroughly) return
    const { findings } = await repo.check({ readData: true, workers: 0 })
    if (findings[0] !== undefined) throw new Violation(`A check finds: ${findings[0].message}`)
  }
}

/**
 * When all is quiet: everything restores, prunes bring to an end what was begun, and once all is forgotten nothing is
 * left that nobody needs.
 *
 * @throws Violation
 */
export async function concludeWith(store: Store, options: OpenOptions, ledger: Ledger): Promise<void> {
  await ledger.verify(store, options, true)
  await using repo = await Repository.open(store, options)
  await pruneAll(repo)
  await ledger.verify(store, options, true)
  const { packs } = await repo.planPrune({ maxUnusedFraction: 0, patienceSeconds: 0 })
  if (packs.length > 0) throw new Violation(`After all prunes there are still ${packs.length} packs to go.`)
  for await (const { id } of repo.snapshots({ checkpoints: true })) await repo.forget(id)
  await pruneAll(repo)
  const quarantined = new Set<string>()
  for await (const { name } of store.list('quarantine/')) quarantined.add(name.slice('quarantine/'.length))
  for (const prefix of ['packs/', 'index/', 'sessions/']) {
    for await (const { name } of store.list(prefix)) {
      if (!quarantined.has(name.slice(-64))) throw new Violation(`Nothing needs ${name}, and it stays.`)
    }
  }
}

export async function pruneAll(repo: Repository): Promise<void> {
  for (let attempt = 0; attempt < 6; attempt++) {
    const { outcome } = await repo.prune(undefined, { patienceSeconds: 0, maxUnusedFraction: 0 })
    if (outcome === 'nothing') return
  }
  throw new Violation('Prunes find something to do again and again.')
}

export async function restored(repo: Repository, id: SnapshotId): Promise<Uint8Array> {
  const target = new MemoryTarget()
  await repo.restore(id, target, { workers: 0 })
  return target.bytes
}
