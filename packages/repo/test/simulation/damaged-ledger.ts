import { PlatterError, type SnapshotId, type Store } from '@platter/core'
import { MemorySource, MemoryTarget } from '@platter/fs-adapters'
import { type OpenOptions, Repository, type Snapshot } from '@platter/repo'
import { type Damage, sparedBy } from './damage.ts'
import { type Ledger, pruneAll, restored, Violation } from './ledger.ts'

/** What may say that something is damaged or lost. That a digest is wrong at the end is not among it. */
const DAMAGE_CODE =
  /^ERR_(CORRUPT_\w+|CHUNK_MISSING|NOT_FOUND|SNAPSHOT_DAMAGED|LIMIT_EXCEEDED|UNSUPPORTED_\w+)$/
const NO_WAIT = { patienceSeconds: 0, maxUnusedFraction: 0 }

/** The yardstick for a repository in which objects were damaged. */
export class DamagedLedger {
  readonly damages: Damage[] = []
  readonly #ledger: Ledger
  readonly #options: OpenOptions
  /** Restored after the last damage, or cannot have been hit by it, and have to restore from then on. */
  #sound = new Set<string>()
  /** Packs are damaged that no repair has put aside: a prune may keep their copy of a blob instead of another. */
  #packsAreDamaged = false
  /** Damaged index segments are there, or some are gone: everything may be unreadable until a repair. */
  #indexIsDamaged = false

  constructor(ledger: Ledger, options: OpenOptions) {
    this.#ledger = ledger
    this.#options = options
  }

  /** @param before the store as it was a moment ago. */
  async add(damage: Damage, before: Store, after: Store): Promise<void> {
    this.damages.push(damage)
    if (damage.kind === 'snapshots') this.#sound.delete(damage.name.slice('snapshots/'.length))
    if (damage.kind === 'index') this.#indexIsDamaged = true
    if (damage.kind === 'packs') this.#packsAreDamaged = true
    // A pack whose directory is damaged can be read by the index alone, so nothing is promised where both are.
    if (this.#indexIsDamaged && this.damages.some(({ kind }) => kind === 'packs')) this.#sound.clear()
    else if (damage.kind === 'packs')
      this.#sound = await sparedBy(damage, before, this.#options, this.#ledger)
    await this.verify(after)
  }

  /** Every snapshot restores bit for bit or fails with an error that says why; those that were whole stay so. */
  async verify(store: Store): Promise<Snapshot[]> {
    await using repo = await Repository.open(store, this.#options)
    const hurt: Snapshot[] = []
    const visible = await readable(repo)
    for (const snapshot of visible) {
      if (!(await this.#restores(repo, snapshot))) hurt.push(snapshot)
      else if (!this.#packsAreDamaged) this.#sound.add(snapshot.id)
    }
    for (const { id, name } of hurt) {
      if (this.#sound.has(id) && !this.#indexIsDamaged && !this.#ledger.forgetBegun.has(id))
        throw new Violation(`The snapshot ${id} of ${name} was not damaged, and does not restore.`)
    }
    const ids = new Set<string>(visible.map(({ id }) => id))
    const records = new Set(this.damages.map(({ name }) => name))
    for (const id of this.#ledger.promised()) {
      if (!ids.has(id) && !records.has(`snapshots/${id}`)) throw new Violation(`The snapshot ${id} is gone.`)
    }
    return hurt
  }

  /** When all is quiet: what can be healed is healed, and nothing else was lost on the way. */
  async conclude(store: Store): Promise<void> {
    await this.#assertReported(store)
    await using repo = await Repository.open(store, this.#options)
    const prune = (): Promise<boolean> => this.#try(() => repo.prune(undefined, NO_WAIT))
    const repairPacks = (): Promise<boolean> => this.#try(() => repo.repairPacks({ workers: 0 }))
    const repairIndex = (): Promise<boolean> => this.#try(() => repo.repairIndex())
    await prune()
    // What a prune that was cut off has stored may be damaged; then packs come first.
    if (!(await repairIndex()) && !((await repairPacks()) && (await repairIndex())))
      throw new Violation('The index cannot be repaired.')
    this.#indexIsDamaged = false
    const hurt = await this.verify(store)
    if (this.damages.every(({ kind }) => kind === 'index') && hurt[0] !== undefined)
      throw new Violation(`Only the index was damaged, and after its repair ${hurt[0].id} does not restore.`)
    await prune()
    await this.verify(store)
    if (!(await repairPacks())) throw new Violation('The packs cannot be repaired.')
    this.#packsAreDamaged = false
    await this.#assertMarked(repo, await this.verify(store))
    await prune()
    for (const { id, name } of await this.verify(store)) await this.#heal(repo, id, name)
    await this.#assertHealed(store)
  }

  async #restores(repo: Repository, { id, name, checkpoint }: Snapshot): Promise<boolean> {
    const attempt = this.#ledger.attempts.get(name)
    if (attempt === undefined) throw new Violation(`There is a snapshot ${id} that nobody made.`)
    try {
      const bytes = await restored(repo, id)
      const expected = checkpoint ? attempt.image.subarray(0, bytes.length) : attempt.image
      if (Buffer.compare(bytes, expected) !== 0)
        throw new Violation(`The snapshot ${id} of ${name} restores other bytes than were backed up.`)
      return true
    } catch (error) {
      if (error instanceof PlatterError && DAMAGE_CODE.test(error.code)) return false
      throw error
    }
  }

  /** Whatever does not restore, a check has named; and it finds all that was altered and is still there. */
  async #assertReported(store: Store): Promise<void> {
    await using repo = await Repository.open(store, this.#options)
    const { findings } = await repo.check({ readData: true, workers: 0 })
    const named = new Set(findings.flatMap(({ snapshots }) => snapshots))
    for (const { id, name } of await this.verify(store)) {
      if (named.has(id) || findings.some(({ snapshots }) => snapshots.length === 0)) continue
      throw new Violation(`The snapshot ${id} of ${name} does not restore, and no check says so.`)
    }
  }

  /** After a repair: what is lost is marked, and all the rest of the image is there. */
  async #assertMarked(repo: Repository, hurt: readonly Snapshot[]): Promise<void> {
    for (const { id, name } of hurt) {
      const target = new MemoryTarget()
      const { damagedRanges = [] } = await repo.restore(id, target, { workers: 0, allowDamaged: true })
      const expected = this.#ledger.attempts.get(name)!.image.slice(0, target.bytes.length)
      for (const { offset, length } of damagedRanges) expected.fill(0, offset, offset + length)
      if (damagedRanges.length === 0 || Buffer.compare(target.bytes, expected) !== 0)
        throw new Violation(`What is left of ${id} of ${name} is not what it has to be.`)
    }
  }

  async #heal(repo: Repository, id: SnapshotId, name: string): Promise<void> {
    const { volumes } = await repo.snapshot(id)
    const image = this.#ledger.attempts.get(name)!.image.slice(0, volumes[0]!.sizeBytes)
    if (await this.#try(() => repo.repairPacks({ workers: 0, from: new MemorySource(image) }))) return
    throw new Violation(`The snapshot ${id} of ${name} could not be healed from its own image.`)
  }

  /** Everything that can be read restores, nothing is found but records that cannot be, and prunes work again. */
  async #assertHealed(store: Store): Promise<void> {
    const [hurt] = await this.verify(store)
    if (hurt !== undefined)
      throw new Violation(`${hurt.id} of ${hurt.name} was not healed from its own image.`)
    await using repo = await Repository.open(store, this.#options)
    const { findings } = await repo.check({ readData: true, workers: 0 })
    const others = findings.filter(({ code }) => code !== 'ERR_CORRUPT_SNAPSHOT')
    if (others[0] !== undefined) throw new Violation(`After all repairs a check finds: ${others[0].message}`)
    for (const { name, kind } of this.damages) {
      if (kind !== 'snapshots') continue
      const id = name.slice('snapshots/'.length) as SnapshotId
      this.#ledger.forgetBegun.add(id)
      try {
        await repo.forget(id)
      } catch (error) {
        // Forgotten before, such as a checkpoint by what came after it.
        if (!PlatterError.is(error, 'ERR_SNAPSHOT_NOT_FOUND')) throw error
      }
    }
    await pruneAll(repo)
    await this.verify(store)
  }

  /** Whether something succeeds; it may fail with a typed error only. */
  async #try(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      const { code } = error instanceof PlatterError ? error : { code: undefined }
      if (code === 'ERR_PRUNE_UNFINISHED' || (code !== undefined && DAMAGE_CODE.test(code))) return false
      throw error
    }
  }
}

/** The snapshots whose records can be read. */
async function readable(repo: Repository): Promise<Snapshot[]> {
  const found: Snapshot[] = []
  try {
    for await (const snapshot of repo.snapshots({ checkpoints: true })) found.push(snapshot)
  } catch (error) {
    // Told when all others have been.
    if (!(error instanceof PlatterError && DAMAGE_CODE.test(error.code))) throw error
  }
  return found
}
