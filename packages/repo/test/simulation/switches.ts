import { MemorySource } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { type BlockImage, bytesOf, longImage } from './block-images.ts'
import { Ledger, Violation } from './ledger.ts'
import { BucketMedium } from './medium.ts'
import { openOptionsOf, settingsOf } from './profile.ts'
import { RandomStream } from './random-stream.ts'
import { type Actor, codeOf, World } from './world.ts'

/**
 * Who works until where: until it has passed as many gates more as a variable says, by its number; until it is about to
 * do something; to its end; or until it has given a sign of life.
 */
type Move = readonly [who: string, until: number | RegExp | 'end' | 'sign of life']

/** What somebody does. */
type Role =
  | { readonly does: 'backup'; readonly image: BlockImage; readonly checkpointBytes?: number }
  | { readonly does: 'prune'; readonly patienceSeconds?: number; readonly maxRepackBytes?: number }
  | { readonly does: 'forget'; readonly snapshot: string }

/** A few actors who take turns, and where they do so is tried in every way. */
interface Scene {
  readonly roles: Readonly<Record<string, Role>>
  readonly moves: readonly Move[]
  /** Which role each variable counts the gates of, and how many at most. */
  readonly variables: readonly (readonly [who: string, most?: number])[]
}

const OLD: BlockImage = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
/** Shares half with the one before; forgotten before the scene begins. */
const GONE: BlockImage = [...OLD.slice(0, 6), 20, 21, 22, 23, 24, 25]
/** Needs some of what the forgotten one stored, so that a pack of that is partly needed. */
const HALF: BlockImage = [...GONE.slice(6, 9), 70, 71, 72]
const FRESH: BlockImage = [60, 61, 62, 63]
const LONG: BlockImage = longImage(100, GONE)
const IMPATIENT = { does: 'prune', patienceSeconds: 0 } as const satisfies Role
const PATIENT: Role = { does: 'prune' }

const SCENES = {
  /** A writer, and a collector that begins, or goes on, at any place of it. */
  overtaken: {
    roles: { prune: IMPATIENT, writer: { does: 'backup', image: GONE }, next: IMPATIENT },
    variables: [['prune'], ['writer']],
    moves: [
      ['prune', 0],
      ['writer', 1],
      ['prune', 'end'],
      ['writer', 'end'],
      ['next', 'end'],
    ],
  },
  /** A writer that commits at any place of a collector that began after it. */
  committing: {
    roles: { writer: { does: 'backup', image: GONE }, prune: PATIENT },
    variables: [['writer'], ['prune']],
    moves: [
      ['writer', 0],
      ['prune', 1],
      ['writer', 'end'],
      ['prune', 'end'],
    ],
  },
  /** A writer that is taken for dead goes on when others have stored, and rely on, the same. */
  zombie: {
    roles: {
      dead: { does: 'backup', image: FRESH },
      writer: { does: 'backup', image: FRESH },
      prune: IMPATIENT,
    },
    variables: [['dead'], ['writer']],
    moves: [
      ['dead', 0],
      ['writer', 1],
      ['prune', 'end'],
      ['dead', 'end'],
      ['writer', 'end'],
    ],
  },
  /** Prunes that begin at any place near a checkpoint, and end at any other. */
  checkpoint: {
    roles: {
      writer: { does: 'backup', image: LONG, checkpointBytes: 1 },
      prune: PATIENT,
      next: PATIENT,
    },
    variables: [
      ['writer', 8],
      ['prune', 12],
      ['writer', 8],
    ],
    moves: [
      ['writer', /^put index/],
      ['writer', 0],
      ['prune', /^put gc/],
      ['prune', 1],
      ['writer', 2],
      ['prune', 'end'],
      ['next', 'end'],
      ['writer', 'end'],
    ],
  },
  /** A writer that lives, for which collectors wait. */
  waiting: {
    roles: {
      writer: { does: 'backup', image: GONE },
      prune: { does: 'prune', patienceSeconds: 600 },
      next: { does: 'prune', patienceSeconds: 600 },
    },
    variables: [['writer']],
    moves: [
      ['writer', 0],
      ['prune', 'end'],
      ['writer', 'sign of life'],
      ['writer', 'sign of life'],
      ['next', 'end'],
      ['writer', 'end'],
    ],
  },
  /** Two collectors at the same generation, one of whom does not repack. */
  collectors: {
    roles: {
      first: { ...IMPATIENT, maxRepackBytes: 0 },
      second: IMPATIENT,
      writer: { does: 'backup', image: GONE },
    },
    variables: [['first'], ['second']],
    moves: [
      ['first', 0],
      ['second', 1],
      ['first', 'end'],
      ['writer', 'end'],
      ['second', 'end'],
    ],
  },
  /** A collector that lost goes on when what it stored is gone again, and somebody needs it anew. */
  loser: {
    roles: {
      first: IMPATIENT,
      second: IMPATIENT,
      forget: { does: 'forget', snapshot: 'half' },
      third: IMPATIENT,
      writer: { does: 'backup', image: HALF },
    },
    variables: [['first']],
    moves: [
      ['first', 0],
      ['second', 'end'],
      ['forget', 'end'],
      ['third', 'end'],
      ['first', 'end'],
      ['writer', 'end'],
    ],
  },
} as const satisfies Record<string, Scene>
export type SceneName = keyof typeof SCENES
export const SCENE_NAMES = Object.keys(SCENES) as SceneName[]

/** Every `of`th way to play a scene. */
export interface SwitchPart {
  readonly scene: SceneName
  readonly part: number
  readonly of: number
  /** Ways after which it ends. Default: all. */
  readonly most?: number
}

/** Where actors can be switched: not at a reading of an object, which never changes. */
const GATE = /^(put|list|listed|delete) /
/** A prime that divides no number of ways to play a scene, so that each has its turn. */
const STRIDE = 1_000_003
/** More gates than any actor has. */
const MANY_GATES = 1000
/** Gates that an actor may have beyond those it has when it is not interrupted. */
const MORE_GATES = 6
const HEARTBEAT_MILLIS = 300_000
const OPTIONS = openOptionsOf({ encrypted: false })

interface Base {
  readonly medium: BucketMedium
  readonly ledger: Ledger
}

/** Plays a scene in every way, or in some of all. Gives a line for each, and what went wrong in it. */
export async function* playScene({ scene: name, part, of, most }: SwitchPart): AsyncGenerator<{
  readonly where: string
  readonly problem: string | undefined
  steps: number
}> {
  const scene: Scene = SCENES[name]
  const base = await prepare()
  const everyGate = scene.variables.map(() => MANY_GATES)
  const alone = new Play(scene, base, everyGate)
  try {
    await alone.run()
  } catch (error) {
    yield {
      where: `${name}, nobody interrupted`,
      problem: String((error as Error).stack),
      steps: alone.world.steps,
    }
    return
  }
  const bounds = scene.variables.map(([who, gates]) => (gates ?? alone.gates.get(who)! + MORE_GATES) + 1)
  const all = bounds.reduce((product, bound) => product * bound, 1)
  const end = Math.min(all, part + of * (most ?? all))
  for (let turn = part; turn < end; turn += of) {
    // In an order that soon has something of everything.
    let rest = (turn * STRIDE) % all
    const values = bounds.map((bound) => {
      const value = rest % bound
      rest = Math.floor(rest / bound)
      return value
    })
    const play = new Play(scene, base, values)
    let problem: string | undefined
    try {
      await play.run()
    } catch (error) {
      problem = (error as Error).stack ?? String(error)
    }
    yield { where: `${name} ${values.join()}`, problem, steps: play.world.steps }
  }
}

async function prepare(): Promise<Base> {
  const world = new World(1, false)
  const medium = new BucketMedium(new RandomStream(1))
  const ledger = new Ledger()
  try {
    await world.aside(async () => {
      const store = medium.directly()
      await Repository.init(store, settingsOf({ encrypted: false }))
      const repo = await Repository.open(store, OPTIONS)
      for (const [name, image] of [
        ['old', OLD],
        ['gone', GONE],
        ['half', HALF],
      ] as const)
        await backUp(repo, ledger, name, { does: 'backup', image })
      const [, gone] = [...ledger.committed.keys()]
      ledger.forgetBegun.add(gone!)
      await repo.forget(gone!)
      ledger.forgotten.add(gone!)
    })
  } finally {
    world.leave()
  }
  return { medium, ledger }
}

/** A scene, played in one way. */
class Play {
  readonly world: World
  /** Gates that each actor has passed. */
  readonly gates = new Map<string, number>()
  readonly #scene: Scene
  readonly #values: readonly number[]
  readonly #medium: BucketMedium
  readonly #ledger: Ledger
  readonly #actors = new Map<string, Actor>()
  /** Those that had the time for a sign of life. */
  readonly #living = new Set<string>()

  constructor(scene: Scene, { medium, ledger }: Base, values: readonly number[]) {
    const number = values.reduce((sum, value) => 1024 * sum + value, 2)
    this.world = new World(number, false)
    this.#scene = scene
    this.#values = values
    this.#medium = medium.copy(new RandomStream(number))
    this.#ledger = ledger.copy()
  }

  /** @throws Violation */
  async run(): Promise<this> {
    try {
      for (const [who, until] of this.#scene.moves) {
        if (until === 'sign of life') await this.#live(who)
        else await this.#move(who, typeof until === 'number' ? (this.#values[until] ?? 0) : until)
      }
      await this.world.aside(() => this.#ledger.verify(this.#medium.directly(), OPTIONS, false))
    } finally {
      this.world.leave()
    }
    return this
  }

  async #move(who: string, until: number | RegExp | 'end'): Promise<void> {
    const actor = this.#actors.get(who) ?? (await this.#begin(who))
    for (
      let left = typeof until === 'number' ? until : Number.POSITIVE_INFINITY;
      actor.state === 'running';
    ) {
      const operation = actor.pending[0]
      if (operation === undefined) throw new Error(`${who} waits for a timer.`)
      const isGate = GATE.test(operation.label)
      if (isGate && left-- === 0) return
      if (until instanceof RegExp && until.test(operation.label)) return
      if (isGate) this.gates.set(who, this.gates.get(who)! + 1)
      await this.world.step(operation)
    }
    const { outcome } = actor
    if (outcome === undefined || 'value' in outcome) return
    // Nobody takes it for dead that shows that it is alive.
    if (this.#living.has(who) || codeOf(outcome.error) !== 'ERR_SESSION_FENCED')
      throw new Violation(`${who} failed: ${(outcome.error as Error).stack}`)
  }

  /** Lets time pass until a beat is due, and does nothing else for the actor but that. */
  async #live(who: string): Promise<void> {
    const actor = this.#actors.get(who)!
    const others = new Set(actor.pending)
    this.world.pass(HEARTBEAT_MILLIS)
    this.world.ripen()
    for (;;) {
      const operation = actor.pending.find((pending) => !others.has(pending))
      if (operation === undefined) return
      this.#living.add(who)
      await this.world.step(operation)
    }
  }

  async #begin(who: string): Promise<Actor> {
    this.gates.set(who, 0)
    const actor = await this.world.spawn(who, who, async (self) => {
      const store = this.#medium.storeOf(this.world, self)
      const repo = await Repository.open(store, { ...OPTIONS, now: this.world.clockOf(self) })
      await this.#act(repo, who, this.#scene.roles[who]!)
    })
    this.#actors.set(who, actor)
    return actor
  }

  async #act(repo: Repository, who: string, role: Role): Promise<void> {
    if (role.does === 'backup') await backUp(repo, this.#ledger, who, role)
    else if (role.does === 'prune') {
      const { does: _, ...options } = role
      await repo.prune(undefined, { maxUnusedFraction: 0, ...options })
    } else {
      const [id] = [...this.#ledger.committed].find(([, { name }]) => name === role.snapshot)!
      this.#ledger.forgetBegun.add(id)
      await repo.forget(id)
      this.#ledger.forgotten.add(id)
    }
  }
}

async function backUp(
  repo: Repository,
  ledger: Ledger,
  name: string,
  { image, checkpointBytes }: Role & { readonly does: 'backup' },
): Promise<void> {
  const attempt = ledger.begin(name, bytesOf(image))
  const { id } = await repo.backup(new MemorySource(attempt.image), {
    workers: 0,
    name,
    ...(checkpointBytes === undefined ? {} : { checkpointBytes }),
  })
  ledger.committed.set(id, attempt)
}
