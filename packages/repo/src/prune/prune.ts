import {
  hasReserve,
  type PackId,
  PlatterError,
  type RandomSource,
  type SessionId,
  type Store,
  settle,
} from '@platter/core'
import type { PrunePlan, PruneProgress, PruneReport } from '../api/prune-types.ts'
import { encodeMark, encodeSweep, type MarkRecord, type SweepRecord } from '../format/gc-records.ts'
import { RESERVE_BYTES } from '../format/limits.ts'
import {
  FORGET_PREFIX,
  forgetName,
  GC_PREFIX,
  gcName,
  INDEX_PREFIX,
  PACKS_PREFIX,
  SNAPSHOTS_PREFIX,
  snapshotName,
} from '../format/object-names.ts'
import { abandonGeneration } from '../gc/abandon.ts'
import { lookBesideCollectors, readGcState, readHints, readPendingSweep } from '../gc/gc-state.ts'
import type { OpenSession } from '../session/open-sessions.ts'
import { writeTombstone } from '../snapshots/snapshot-catalog.ts'
import type { PruneSettings } from './options.ts'
import { makePlan } from './plan.ts'
import { type PreparedSweep, prepareSweep } from './prepare-sweep.ts'
import { removeFinishedSessions, removeSwept } from './removal.ts'
import { assertReplacementsWhole } from './replacements.ts'
import { ReserveStore } from './reserve-store.ts'
import { type Survey, type SurveyContext, survey } from './survey.ts'
import { fence, Liveness, observationOf, openSessionsNow } from './writers.ts'

/** Index segments that may be replaced by others while the store is full. */
const LEAN_REPLACED_BYTES: number = RESERVE_BYTES / 4

/** What a prune needs of an open repository. */
export interface PruneContext extends SurveyContext<Store> {
  readonly random: RandomSource
  readonly now: () => Date
}

/**
 * Prunes; see `Repository.prune`. The steps, and why they are safe, stand in docs/architecture.md, Prune. A prune that
 * died at any of them is finished by the next.
 */
export async function prune(
  context: PruneContext,
  plan: PrunePlan | undefined,
  settings: PruneSettings,
  signal: AbortSignal,
): Promise<PruneReport> {
  return await new Prune(context, settings, signal).run(plan)
}

class Prune {
  readonly #plain: PruneContext
  /** The same, with a store that uses the space kept back when it is full. */
  readonly #context: PruneContext
  readonly #settings: PruneSettings
  readonly #signal: AbortSignal
  readonly #started = performance.now()
  readonly #fenced: SessionId[] = []
  readonly #totals = { packsRemoved: 0, segmentsRemoved: 0, bytesRemoved: 0, bytesRepacked: 0, packsKept: 0 }
  #checkpointsForgotten = 0
  /** Generation whose sweep this prune published. */
  #ownSweep: number | undefined

  constructor(context: PruneContext, settings: PruneSettings, signal: AbortSignal) {
    this.#plain = context
    this.#context = { ...context, store: new ReserveStore(context.store) }
    this.#settings = settings
    this.#signal = signal
  }

  async run(plan: PrunePlan | undefined): Promise<PruneReport> {
    const { newest, idle } = await readGcState(this.#context.store, this.#signal)
    if (!idle) {
      const waitingFor = await this.#finish(newest, undefined)
      if (waitingFor.length > 0) return this.#report('pending', newest, waitingFor)
    }
    await this.#fenceDead(newest)
    const { plan: fresh, mark, survey: found } = await makePlan(this.#context, this.#settings, this.#signal)
    const condemned = mark.condemned.filter(chosenBy(plan))
    for (const checkpoint of fresh.checkpoints) {
      this.#signal.throwIfAborted()
      await writeTombstone(this.#context, checkpoint, this.#signal)
      this.#checkpointsForgotten++
    }
    if (condemned.length === 0 && !listsOnlyForDead(found) && !listsWhatIsGone(found)) {
      await this.#tidy()
      return this.#report(idle ? 'nothing' : 'done', newest, [])
    }
    const generation = newest + 1
    // When another collector was first, its generation is the one to finish.
    await this.#put(
      gcName(generation, 'mark'),
      encodeMark(generation, { ...mark, condemned }, this.#context.records),
    )
    const waitingFor = await this.#finish(generation, found)
    return this.#report(waitingFor.length > 0 ? 'pending' : 'done', generation, waitingFor)
  }

  /**
   * Brings a generation whose mark stands to its end, whoever published it.
   *
   * @returns the sessions it has to wait for; none when it is done.
   */
  async #finish(generation: number, known: Survey | undefined): Promise<readonly SessionId[]> {
    const { store } = this.#context
    const waitingFor = await lookBesideCollectors(store, this.#signal, async () => {
      const { newest, newestSwept } = await readGcState(store, this.#signal)
      return newest > generation || newestSwept ? [] : await this.#decide(generation, known)
    })
    if (waitingFor.length > 0) return waitingFor
    // Whose it is does not matter: all collectors do what stands there.
    await this.#execute(generation, await readPendingSweep(this.#context, generation, this.#signal))
    return []
  }

  /**
   * Publishes what goes, once every writer that may rely on a condemned pack has ended.
   *
   * @returns the sessions it has to wait for.
   */
  async #decide(generation: number, known: Survey | undefined): Promise<readonly SessionId[]> {
    const mark = await readHints(this.#context, generation, this.#signal)
    if (mark === undefined) {
      // Nobody can tell any more what it condemns, so nothing of it goes.
      await abandonGeneration(this.#context, generation, this.#signal)
      return []
    }
    const waitingFor = await this.#endWriters(generation, mark)
    if (waitingFor.length > 0) return waitingFor
    // Listed only now: whatever relies on a condemned pack has been committed.
    const nothing = new Set<SessionId>()
    const assumed = { forgotten: nothing, fenced: nothing }
    const found = await survey(this.#context, assumed, known, this.#signal, (step) => this.#progress(step))
    if (known !== undefined) await this.#assertStillListed(known, found)
    const overlooked = known === undefined ? new Set<PackId>() : noLongerListed(known, found)
    const condemned = mark.condemned.filter((id) => !overlooked.has(id))
    await this.#publishSweep(generation, condemned, found)
    return []
  }

  /**
   * Ends every session that began before the mark and is dead.
   *
   * @returns those that are alive; none when it waited for them.
   */
  async #endWriters(generation: number, mark: MarkRecord): Promise<readonly SessionId[]> {
    const { wait, pollMillis } = this.#settings
    const liveness = this.#newLiveness()
    liveness.observe(mark)
    for (;;) {
      const open = await openSessionsNow(this.#context, this.#signal)
      liveness.observe(observationOf(open, this.#now()))
      const before = open.filter((session) => session.generation < generation)
      const living = await this.#fenceAll(before, liveness)
      if (living.length === 0 || !wait) return living
      this.#progress({ phase: 'waiting', done: before.length - living.length, total: before.length })
      await pause(pollMillis, this.#signal)
    }
  }

  /** Ends dead sessions before anything is planned, so that what they stored can be condemned at once. */
  async #fenceDead(newest: number): Promise<void> {
    const liveness = this.#newLiveness()
    const last = await readHints(this.#context, newest, this.#signal)
    if (last !== undefined) liveness.observe(last)
    const open = await openSessionsNow(this.#context, this.#signal)
    liveness.observe(observationOf(open, this.#now()))
    await this.#fenceAll(open, liveness)
  }

  /** Fences those that are dead and gives the others. */
  async #fenceAll(sessions: readonly OpenSession[], liveness: Liveness): Promise<SessionId[]> {
    const living: SessionId[] = []
    for (const session of sessions) {
      this.#signal.throwIfAborted()
      if (!liveness.isDead(session, this.#now())) living.push(session.id)
      else if (await fence(this.#context, session.id, { collectorOf: undefined }, this.#signal))
        this.#fenced.push(session.id)
    }
    return living
  }

  async #publishSweep(generation: number, condemned: readonly PackId[], found: Survey): Promise<void> {
    await this.#settle()
    const prepared = await this.#prepare(generation, condemned, found)
    this.#totals.bytesRepacked += prepared.bytesRepacked
    this.#signal.throwIfAborted()
    const sweep = encodeSweep(generation, prepared.record, this.#context.records)
    const outcome = await this.#put(gcName(generation, 'sweep'), sweep)
    if (outcome === 'created') this.#ownSweep = generation
  }

  /** A snapshot that was listed before and is not any more has been forgotten. @throws ERR_STORE_IO when it has not. */
  async #assertStillListed(before: Survey, now: Survey): Promise<void> {
    const still = new Set(now.snapshots.map(({ id }) => id))
    const { store } = this.#context
    for (const { id } of before.snapshots) {
      if (still.has(id) || (await store.stat(forgetName(id), { signal: this.#signal })) !== undefined)
        continue
      throw new PlatterError(
        'ERR_STORE_IO',
        `Nothing was removed: the store ${store.label} listed the snapshot ${id} a while ago, and does not any more, although it was not forgotten.`,
        { object: snapshotName(id) },
      )
    }
  }

  /**
   * What the sweep rests on must outlive what it removes: fences, tombstones and snapshots that were seen, and copies of
   * live chunks with the segments that list them. Who created them may have died before they were durable. A pack that a
   * segment lists was durable then, but people put copies of lost packs back.
   */
  async #settle(): Promise<void> {
    for (const prefix of [PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX])
      await settle(this.#plain.store, prefix, { signal: this.#signal })
  }

  /** Where there is no space to repack, what can go without goes. */
  async #prepare(generation: number, condemned: readonly PackId[], found: Survey): Promise<PreparedSweep> {
    const input = {
      survey: found,
      generation,
      condemned: new Set(condemned),
      signal: this.#signal,
      onRepacked: (bytesRepacked: number, done: number, total: number) =>
        this.#progress({ phase: 'repacking', done, total }, bytesRepacked),
    }
    const { maxRepackBytes } = this.#settings
    try {
      const context = this.#plain
      return await prepareSweep({
        ...input,
        context,
        maxRepackBytes,
        maxReplacedBytes: Number.POSITIVE_INFINITY,
      })
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_STORE_FULL')) throw error
    }
    try {
      const context = this.#context
      return await prepareSweep({
        ...input,
        context,
        maxRepackBytes: 0,
        maxReplacedBytes: LEAN_REPLACED_BYTES,
      })
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_STORE_FULL')) throw error
    }
    return await prepareSweep({ ...input, context: this.#context, maxRepackBytes: 0, maxReplacedBytes: 0 })
  }

  async #execute(generation: number, sweep: SweepRecord): Promise<void> {
    const mark = await readHints(this.#context, generation, this.#signal)
    // Once the generation counts as done, no other sweep of it must be possible any more.
    await settle(this.#plain.store, GC_PREFIX, { signal: this.#signal })
    if (this.#ownSweep !== generation)
      await assertReplacementsWhole(this.#plain, generation, sweep, this.#signal)
    const removed = await removeSwept(this.#context, generation, sweep, {
      signal: this.#signal,
      onRemove: this.#settings.onRemove,
      onProgress: (done, total) => this.#progress({ phase: 'removing', done, total }),
    })
    this.#totals.packsRemoved += removed.packs
    this.#totals.segmentsRemoved += removed.segments
    this.#totals.bytesRemoved += removed.bytes
    this.#totals.packsKept += Math.max(0, (mark?.condemned.length ?? 0) - removed.packs)
    await this.#tidy()
  }

  /** Removes what the commits of sessions have made worthless, and keeps space back again. */
  async #tidy(): Promise<void> {
    await removeFinishedSessions(this.#plain, this.#signal)
    const { store } = this.#plain
    if (!hasReserve(store)) return
    try {
      await store.keepReserve(RESERVE_BYTES, { signal: this.#signal })
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_STORE_FULL')) throw error
    }
  }

  async #put(name: string, record: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    return await this.#context.store.putIfAbsent(name, record, { signal: this.#signal })
  }

  #newLiveness(): Liveness {
    return new Liveness(this.#settings.patienceSeconds * 1000)
  }

  #now(): number {
    return this.#context.now().getTime()
  }

  #progress(step: Pick<PruneProgress, 'phase' | 'done' | 'total'>, bytesRepacked?: number): void {
    this.#settings.onProgress?.({ ...step, bytesRepacked: bytesRepacked ?? this.#totals.bytesRepacked })
  }

  #report(
    outcome: PruneReport['outcome'],
    generation: number,
    waitingFor: readonly SessionId[],
  ): PruneReport {
    return {
      outcome,
      generation,
      ...this.#totals,
      checkpointsForgotten: this.#checkpointsForgotten,
      sessionsFenced: this.#fenced,
      waitingFor,
      seconds: (performance.now() - this.#started) / 1000,
    }
  }
}

/**
 * Whether something that snapshots need is listed by none but sessions that have been ended. A prune lists it under its
 * own, since writers do not rely on those of the ended, and would store it again.
 */
function listsOnlyForDead({ table }: Survey): boolean {
  return table.packs.some(({ present, quarantined, standing }) => {
    return present && !quarantined && standing === 'fenced'
  })
}

/**
 * Packs that the index listed when they were condemned, and does not list any more. A store that leaves something out of
 * a list makes it look so. Such packs stay: the segment that was overlooked would go on to name them, and be believed.
 */
function noLongerListed(before: Survey, now: Survey): Set<PackId> {
  const listed = ({ table }: Survey): PackId[] =>
    table.packs.filter(({ standing }) => standing !== undefined).map(({ id }) => id)
  const still = new Set(listed(now))
  return new Set(listed(before).filter((id) => !still.has(id)))
}

/**
 * Whether an index segment lists packs that are not there: one that a writer or collector had sent off before it died,
 * and that arrived when its packs had been removed.
 */
function listsWhatIsGone({ segments, table }: Survey): boolean {
  return segments.some(
    ({ standing, packs }) => standing !== 'open' && packs.some((i) => !table.packs[i]!.present),
  )
}

/** Packs that a plan names; all, where there is none. */
function chosenBy(plan: PrunePlan | undefined): (id: PackId) => boolean {
  if (plan === undefined) return () => true
  const ids = new Set(plan.packs.map(({ id }) => id))
  return (id) => ids.has(id)
}

/** Rejects with the signal's reason when aborted. */
async function pause(millis: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, millis)
    signal.addEventListener('abort', end, { once: true })
  })
  signal.throwIfAborted()
}
