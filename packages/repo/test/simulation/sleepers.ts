import type { ActorKind } from './profile.ts'
import type { RandomStream } from './random-stream.ts'
import type { Actor, World } from './world.ts'

/** What a history of sleepers plays on. */
export interface Stage {
  readonly world: World
  readonly random: RandomStream
  readonly spawn: (kind: ActorKind) => Promise<Actor>
  /** Looks at how those ended that have. */
  readonly judge: () => Promise<void>
  /** Whether an operation is one of those before which falling asleep matters most. */
  readonly isGate: (label: string) => boolean
}

/** Gates that a sleeper passes at most before it falls asleep. */
const MAX_GATES = 16

/**
 * A few actors fall asleep at the worst moments, each once or twice, and others do all of their work meanwhile. Only one
 * is at work at any time: there are few switches from one to another, but at every place, and what takes a certain few
 * of them to go wrong is met much sooner than where all go on side by side.
 */
export async function playSleepers(stage: Stage): Promise<void> {
  const { world, random } = stage
  const asleep: Actor[] = []
  for (let act = random.between(5, 12); act > 0; act--) {
    const what = random.weighted({
      'falls asleep': asleep.length < 3 ? 3 : 0,
      works: 5,
      wakes: asleep.length,
    })
    if (what === 'wakes') {
      const [actor] = asleep.splice(random.below(asleep.length), 1)
      world.thaw(actor!)
      await work(stage, actor!, random.chance(0.7) ? undefined : random.below(MAX_GATES), asleep)
    } else {
      const sleeps = what === 'falls asleep'
      const kind: ActorKind = sleeps
        ? random.weighted({ backup: 4, 'long backup': 3, prune: 4, 'repair index': 1, 'repair packs': 1 })
        : random.weighted({ backup: 4, prune: 5, forget: 2, 'repair index': 0.3, 'repair packs': 0.3 })
      await work(stage, await stage.spawn(kind), sleeps ? random.below(MAX_GATES) : undefined, asleep)
    }
  }
  for (const actor of random.shuffled(asleep)) {
    world.thaw(actor)
    if (random.chance(0.2)) world.kill(actor)
    else await work(stage, actor, undefined, [])
  }
}

/** Lets an actor work alone until it ends, or has passed so many gates; then it joins those that are `asleep`. */
async function work(stage: Stage, actor: Actor, gates: number | undefined, asleep: Actor[]): Promise<void> {
  const { world, random } = stage
  for (let left = gates; actor.state === 'running'; ) {
    world.ripen()
    if (actor.pending.length === 0) {
      world.pass(Math.max(1, (world.nextTimerMillis() ?? 0) - world.millis))
      continue
    }
    const operation = random.pick(actor.pending)
    if (left !== undefined && stage.isGate(operation.label) && left-- === 0) {
      world.freeze(actor)
      asleep.push(actor)
      return
    }
    await world.step(operation)
  }
  await stage.judge()
}
