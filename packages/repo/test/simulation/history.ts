import { MemorySource } from '@platter/fs-adapters'
import { type OpenOptions, Repository } from '@platter/repo'
import { MemoryPin } from '../memory-pin.ts'
import { type BlockImage, bytesOf, ImageMaker } from './block-images.ts'
import { runErrand } from './errands.ts'
import { Harm } from './harm.ts'
import { concludeWith, Ledger, Violation } from './ledger.ts'
import { BucketMedium, DiskMedium, type Medium } from './medium.ts'
import {
  type ActorKind,
  drawProfile,
  openOptionsOf,
  type Plot,
  type Profile,
  plotOf,
  settingsOf,
} from './profile.ts'
import { RandomStream } from './random-stream.ts'
import { playSleepers } from './sleepers.ts'
import { type Actor, codeOf, type Fate, type Operation, World } from './world.ts'

const HOUR_MILLIS = 3_600_000
const YEAR_MILLIS = 365 * 24 * HOUR_MILLIS
const MAX_STEPS = 20_000
/** Actors that a history has at most; freezes call others in. */
const MAX_ACTORS = 14
/** States of the store that are looked at in the course of one history, beside its end. */
const MAX_LOOKS = 6

/** What became of a history. */
export interface Outcome {
  readonly seed: number
  readonly problem: string | undefined
  readonly hash: string
  readonly steps: number
  readonly counts: Readonly<Record<string, number>>
  readonly trace: readonly string[]
}

/** Plays the history of a seed. */
export async function playHistory(seed: number, keepTrace = false): Promise<Outcome> {
  const history = new History(seed, keepTrace)
  let problem: string | undefined
  try {
    await history.run()
  } catch (error) {
    problem = error instanceof Error ? (error.stack ?? String(error)) : String(error)
  } finally {
    history.world.leave()
  }
  const { hash, steps, trace } = history.world
  return { seed, problem, hash, steps, counts: history.counts, trace: trace ?? [] }
}

/** Steps at which a writer, a collector or a repair can do the most harm when it goes on much later. */
const GATE =
  /^((put|link) (sessions|snapshots|gc|index|forget)\/|stat snapshots\/|list(ed)? (gc|index|snapshots)\/|readdir (gc|index|snapshots)|delete |unlink (packs|index)|sync )/

class History {
  readonly world: World
  readonly counts: Record<string, number> = {}
  readonly #plot: Plot
  readonly #profile: Profile
  readonly #random: RandomStream
  readonly #medium: Medium
  readonly #ledger = new Ledger()
  /** What damages objects, in a history where that happens. */
  readonly #harm: Harm | undefined
  readonly #images: ImageMaker
  readonly #known: BlockImage[] = []
  readonly #judged = new Set<Actor>()
  #names = 0
  #looks = 0
  #last: Actor | undefined
  readonly #spared = new WeakSet<Operation>()
  /** What all actors of some histories share: whatever they do, it must never raise an alarm. */
  readonly #pin: MemoryPin | undefined

  constructor(seed: number, keepTrace: boolean) {
    this.world = new World(seed, keepTrace)
    this.#pin = seed % 4 === 0 ? new MemoryPin() : undefined
    this.#random = new RandomStream(seed, 1)
    this.#profile = drawProfile(new RandomStream(seed, 2))
    this.#plot = plotOf(seed)
    this.#images = new ImageMaker(new RandomStream(seed, 3), this.#plot === 'sleepers' ? 0.7 : 0.3)
    const random = new RandomStream(seed, 4)
    const bucket = new BucketMedium(random)
    const isDisk = this.#profile.medium === 'disk' && this.#plot !== 'damage'
    this.#medium = isDisk ? new DiskMedium(random) : bucket
    if (this.#plot === 'damage')
      this.#harm = new Harm(bucket, this.#ledger, openOptionsOf(this.#profile), new RandomStream(seed, 5))
  }

  async run(): Promise<void> {
    await this.world.aside(() => this.#prepare())
    if (this.#plot === 'sleepers') await this.#sleepers()
    else
      for (let round = 1; round <= this.#profile.rounds; round++)
        await this.#round(round === this.#profile.rounds)
    for (const operation of [...this.world.adrift]) {
      if (this.#random.chance(0.5)) this.world.land(operation)
    }
    this.world.adrift = []
    await this.world.aside(async () => {
      if (this.#harm !== undefined) await this.#harm.conclude()
      else await concludeWith(this.#medium.directly(), this.#openOptions(), this.#ledger)
    })
  }

  /** A repository with some snapshots, some of them forgotten. */
  async #prepare(): Promise<void> {
    const store = this.#medium.directly()
    await Repository.init(store, settingsOf(this.#profile))
    const repo = await Repository.open(store, openOptionsOf(this.#profile))
    for (let count = this.#random.between(1, 3); count > 0; count--) {
      const image = this.#images.make(this.#known)
      this.#known.push(image)
      const name = `first ${this.#names++}`
      const attempt = this.#ledger.begin(name, bytesOf(image))
      const { id } = await repo.backup(new MemorySource(attempt.image), { workers: 0, name })
      this.#ledger.committed.set(id, attempt)
      if (!this.#random.chance(0.5)) continue
      this.#ledger.forgetBegun.add(id)
      await repo.forget(id)
      this.#ledger.forgotten.add(id)
    }
  }

  async #sleepers(): Promise<void> {
    await playSleepers({
      world: this.world,
      random: this.#random,
      spawn: (kind) => this.#spawn(kind),
      judge: () => this.#judge(),
      isGate: (label) => GATE.test(label),
    })
  }

  async #round(isLast: boolean): Promise<void> {
    const { world } = this
    const random = this.#random
    const arrivals = Array.from({ length: this.#profile.actorsPerRound }, () =>
      random.weighted<ActorKind>(this.#profile.kinds),
    )
    for (;;) {
      if (world.steps > MAX_STEPS) throw new Error('The history does not end.')
      world.ripen()
      const running = world.alive().filter(({ state }) => state === 'running')
      const ready = running.filter(({ pending }) => pending.length > 0)
      if (arrivals.length > 0 && (ready.length === 0 || random.chance(0.05))) {
        await this.#spawn(arrivals.shift()!)
      } else if (ready.length > 0) {
        await this.#happen(ready, arrivals)
      } else if (world.nextTimerMillis() !== undefined) {
        world.pass(Math.max(0, world.nextTimerMillis()! - world.millis))
      } else {
        const frozen = world.alive().filter(({ state }) => state === 'frozen')
        if (frozen.length === 0 || (!isLast && random.chance(0.5))) break
        if (random.chance(0.5)) world.pass(random.between(1, 30) * HOUR_MILLIS)
        world.thaw(random.pick(frozen))
      }
      await this.#judge()
    }
    await this.#look(false)
  }

  /** One thing happens: mostly, that somebody's call is done. */
  async #happen(ready: readonly Actor[], arrivals: ActorKind[]): Promise<void> {
    const { world } = this
    const profile = this.#profile
    const random = this.#random
    if (this.#harm?.isDue() && (await world.aside(() => this.#harm!.happen()))) this.#count('damages')
    if (random.chance(profile.jump))
      world.pass(random.pick([1000, 20_000, 400_000, HOUR_MILLIS, 30 * HOUR_MILLIS, 3 * YEAR_MILLIS]))
    if (world.adrift.length > 0 && random.chance(profile.landLate)) world.land(random.pick(world.adrift))
    if (random.chance(profile.thaw)) {
      const frozen = world.alive().filter(({ state }) => state === 'frozen')
      if (frozen.length > 0) world.thaw(random.pick(frozen))
    }
    if (random.chance(profile.powerCut)) return await this.#powerCut()
    const stays = this.#last !== undefined && ready.includes(this.#last) && random.chance(profile.stay)
    const actor = stays ? this.#last! : random.pick(ready)
    this.#last = actor
    const operation = random.pick(actor.pending)
    if (random.chance(profile.kill)) {
      world.kill(actor)
      this.#count('kills')
      if (random.chance(0.3)) await this.#look(false)
    } else if (
      !this.#spared.has(operation) &&
      random.chance(GATE.test(operation.label) ? profile.freezeAtGate : profile.freeze)
    ) {
      world.freeze(actor)
      // When it thaws, it gets through with this one.
      this.#spared.add(operation)
      this.#count('freezes')
      // What others do meanwhile is the point.
      if (random.chance(0.7) && world.actors.length + arrivals.length < MAX_ACTORS)
        arrivals.unshift('prune', random.pick(['backup', 'prune']))
    } else {
      await world.step(operation, this.#fateOf(operation))
      // A listing that is not split happens in one moment.
      if (operation.label.startsWith('list ') && !random.chance(profile.splitListing)) {
        const end = actor.pending.find(({ label }) => label === `listed ${operation.label.slice(5)}`)
        if (end !== undefined) await world.step(end)
      }
    }
  }

  #fateOf(operation: Operation): Fate {
    const random = this.#random
    if (!World.canFail(operation)) return 'done'
    if (random.chance(this.#profile.fault)) {
      this.#count('faults')
      return operation.changes
        ? random.pick(['fails before', 'fails after', 'late'] as const)
        : 'fails before'
    }
    return operation.changes && random.chance(this.#profile.answerLater) ? 'answered later' : 'done'
  }

  async #spawn(kind: ActorKind): Promise<Actor> {
    const random = this.#random
    const name = `${kind} ${this.#names++}`
    this.#count(kind)
    return await this.world.spawn(name, kind, (actor) => {
      if (random.chance(this.#profile.wrongClock))
        actor.clockAheadMillis =
          random.pick([-1, 1]) * random.pick([60_000, HOUR_MILLIS, 30 * HOUR_MILLIS, 5 * YEAR_MILLIS])
      return runErrand(kind, {
        store: this.#medium.storeOf(this.world, actor),
        options: { ...this.#openOptions(), now: this.world.clockOf(actor) },
        ledger: this.#ledger,
        random: this.#random,
        images: this.#images,
        known: this.#known,
        name,
        impatient: random.chance(this.#profile.impatient),
      })
    })
  }

  #openOptions(pin = this.#pin): OpenOptions {
    return { ...openOptionsOf(this.#profile), ...(pin === undefined ? {} : { pin }) }
  }

  async #powerCut(): Promise<void> {
    for (const actor of this.world.alive()) this.world.kill(actor)
    this.world.note('the power fails')
    this.#count('power cuts')
    this.#medium.losePower(this.#random)
    // Nothing was on its way to a disk but in the memory of the machine.
    if (this.#medium instanceof DiskMedium) this.world.adrift = []
    await this.#look(true)
  }

  /** Whoever ended must have ended as it may. */
  async #judge(): Promise<void> {
    for (const actor of this.world.actors) {
      if (actor.state !== 'done' || this.#judged.has(actor)) continue
      this.#judged.add(actor)
      const { outcome, name, kind, wasFailed } = actor
      if (outcome === undefined || 'value' in outcome) continue
      if (outcome.error instanceof Violation) throw outcome.error
      const code = codeOf(outcome.error)
      this.#count(code)
      if (this.#harm?.hasHappened && /^ERR_(?!INTERNAL|DIGEST_)/.test(code)) continue
      if (!mayEndWith(kind as ActorKind, code, wasFailed || this.#profile.medium === 'disk'))
        throw new Violation(`${name} failed: ${outcome.error instanceof Error ? outcome.error.stack : code}`)
    }
  }

  /** Holds a copy of the store, as it is now, against what was promised. */
  async #look(thoroughly: boolean): Promise<void> {
    if (this.#looks++ >= MAX_LOOKS) return
    const copy = this.#medium.copy()
    // What is on the disk must do as well as what is in its cache.
    if (this.#random.chance(0.5)) copy.losePower(this.#random)
    const store = copy.directly()
    // What a pin says is on the disk, so a copy of it goes with the copy.
    const options = this.#openOptions(this.#pin === undefined ? undefined : new MemoryPin(this.#pin.bytes))
    await this.world.aside(async () => {
      if (this.#harm?.hasHappened) await this.#harm.verify(store)
      else await this.#ledger.verify(store, options, thoroughly)
    })
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

/** What a call that failed may lead to. Nothing that says that data is wrong or missing is among it. */
const SAD = /^ERR_(CORRUPT_|CHUNK_|DIGEST_|INTERNAL|SNAPSHOT_DAMAGED|NOT_FOUND|ROLLBACK)/

function mayEndWith(kind: ActorKind, code: string, wasFailed: boolean): boolean {
  if (code === 'ERR_SESSION_FENCED') return kind.endsWith('backup') || kind.startsWith('repair')
  return wasFailed && code.startsWith('ERR_') && !SAD.test(code)
}
