import { PlatterError } from '@platter/core'
import { RandomStream } from './random-stream.ts'
import { enter, settled, type VirtualTimer } from './virtual-runtime.ts'

/** Simulated time begins here. */
const EPOCH_MILLIS = Date.UTC(2026, 0, 1)
/** Turns of the event loop after which an actor that waits for nothing the simulation knows counts as hung. */
const MAX_IDLE_TURNS = 200
/** Enough of an id to tell them apart. */
const LONG_ID = /([0-9a-f]{6})[0-9a-f]{26}(?:[0-9a-f]{32})?/g
const TIMER_LABEL = 'timer'

/** How a call is answered. `late` fails for the caller now, and has its effect some time later, or never. */
export type Fate = 'done' | 'fails before' | 'fails after' | 'late' | 'answered later'

/** One step that an actor waits for: a call to its store, a part of one, or a timer. */
export interface Operation {
  readonly actor: Actor
  readonly label: string
  /** It changes the store. */
  readonly changes: boolean
  /** Has its effect, and gives what answers the caller. */
  readonly effect: () => () => void
  /** The call fails without an effect. */
  readonly fail: (fate: Fate) => void
}

/** A call to a store, or to what is below one. */
export interface Call {
  readonly label: string
  readonly changes: boolean
  /** What the caller is told when the call is made to fail. */
  readonly failure: (fate: Fate) => Error
}

interface Timer extends VirtualTimer {
  readonly actor: Actor
  dueMillis: number
  readonly everyMillis: number | undefined
  readonly callback: () => void
}

/** Somebody who works on the store, such as a process that backs up. */
export class Actor {
  readonly name: string
  readonly kind: string
  state: 'running' | 'frozen' | 'dead' | 'done' = 'running'
  readonly pending: Operation[] = []
  /** What its wall clock is ahead. */
  clockAheadMillis = 0
  /** Calls of its were made to fail, so it may give up with whatever they failed with. */
  wasFailed = false
  operations = 0
  outcome: { readonly value: unknown } | { readonly error: unknown } | undefined

  constructor(name: string, kind: string) {
    this.name = name
    this.kind = kind
  }
}

/** Works outside of the history; no timer of its ever fires. */
const OUTSIDER = new Actor('outsider', 'outsider')
OUTSIDER.state = 'dead'

/**
 * A machine room: actors, of whom only one does anything at any time, and the clock. Whatever an actor asks of its
 * store waits until the scheduler has it done; then the actor runs on until it waits again. So a history is a pure
 * function of the choices that the scheduler makes.
 */
export class World {
  readonly actors: Actor[] = []
  /** Calls in flight whose caller is gone or was told that they failed; they may have an effect yet. */
  adrift: Operation[] = []
  /** One line for each thing that happened; kept when asked for. */
  readonly trace: string[] | undefined
  steps = 0
  #hash = 0x811c9dc5
  #millis = 0
  #timers: Timer[] = []
  #current: Actor | undefined
  readonly #bytes: RandomStream

  constructor(seed: number, keepTrace: boolean) {
    this.#bytes = new RandomStream(seed, 99)
    this.trace = keepTrace ? [] : undefined
    enter({
      monotonicMillis: () => this.#millis,
      randomBytes: (length) => this.#bytes.bytes(length),
      startTimer: (callback, millis, repeats) => this.#startTimer(callback, millis, repeats),
    })
  }

  /** Gives the process its own clocks back. */
  leave(): void {
    enter(undefined)
  }

  /** The same for every history that went the same way. */
  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  get millis(): number {
    return this.#millis
  }

  /** What an actor's wall clock shows. */
  clockOf(actor: Actor): () => Date {
    return () => new Date(EPOCH_MILLIS + this.#millis + actor.clockAheadMillis)
  }

  note(line: string): void {
    for (let i = 0; i < line.length; i++) this.#hash = Math.imul(this.#hash ^ line.charCodeAt(i), 0x01000193)
    this.trace?.push(`${String(this.steps).padStart(5)} ${line.replaceAll(LONG_ID, '$1')}`)
  }

  /** Does something outside of the history, on stores where everything happens at once. */
  async aside<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#current = OUTSIDER
    return await work()
  }

  /** Lets an actor begin. */
  async spawn(name: string, kind: string, work: (actor: Actor) => Promise<unknown>): Promise<Actor> {
    const actor = new Actor(name, kind)
    this.actors.push(actor)
    this.#current = actor
    this.note(`${name} begins`)
    work(actor).then(
      (value) => this.#end(actor, { value }),
      (error: unknown) => this.#end(actor, { error }),
    )
    await this.#untilWaiting(actor)
    return actor
  }

  /** Has `actor` wait until the scheduler has the operation done. */
  call<Result>(actor: Actor, { label, changes, failure }: Call, effect: () => Result): Promise<Result> {
    // A dead process asks for nothing.
    if (actor.state === 'dead') return new Promise(() => undefined)
    return new Promise<Result>((resolve, reject) => {
      actor.pending.push({
        actor,
        label,
        changes,
        effect: () => {
          try {
            const result = effect()
            return () => resolve(result)
          } catch (error) {
            return () => reject(error)
          }
        },
        fail: (fate) => reject(failure(fate)),
      })
    })
  }

  /** Has an operation done, and lets its actor run on. */
  async step(operation: Operation, fate: Fate = 'done'): Promise<void> {
    this.steps++
    const { actor, label } = operation
    take(actor.pending, operation)
    actor.operations++
    this.#current = actor
    this.note(`${actor.name} ${label}${fate === 'done' ? '' : ` (${fate})`}`)
    if (fate === 'done') operation.effect()()
    else if (fate === 'answered later') {
      const answer = operation.effect()
      actor.pending.push({ ...operation, changes: false, label: `answer of ${label}`, effect: () => answer })
      return
    } else {
      actor.wasFailed = true
      if (fate === 'late') this.adrift.push(operation)
      else if (fate === 'fails after') operation.effect()
      operation.fail(fate)
    }
    await this.#untilWaiting(actor)
  }

  /** A call that was in flight when its caller died has its effect now. */
  land(operation: Operation): void {
    take(this.adrift, operation)
    this.note(`${operation.actor.name} ${operation.label} (lands late)`)
    operation.effect()
  }

  /** A process dies. What it had asked of the store may still come about. */
  kill(actor: Actor): void {
    this.note(`${actor.name} dies`)
    actor.state = 'dead'
    this.adrift.push(...actor.pending.splice(0).filter(({ changes }) => changes))
    this.#timers = this.#timers.filter((timer) => timer.actor !== actor)
  }

  freeze(actor: Actor): void {
    this.note(`${actor.name} freezes`)
    actor.state = 'frozen'
  }

  thaw(actor: Actor): void {
    this.note(`${actor.name} thaws`)
    actor.state = 'running'
  }

  /** Those that have not ended. */
  alive(): Actor[] {
    return this.actors.filter(({ state }) => state === 'running' || state === 'frozen')
  }

  /** Lets time pass. A timer that came due several times meanwhile fires once, as after a machine slept. */
  pass(millis: number): void {
    this.note(`${millis} ms pass`)
    this.#millis += millis
  }

  /** Timers that are due become operations of their actors. */
  ripen(): void {
    for (const timer of this.#timers) {
      const { actor } = timer
      if (timer.dueMillis > this.#millis || actor.state !== 'running') continue
      if (timer.everyMillis === undefined) take(this.#timers, timer)
      else timer.dueMillis = this.#millis + Math.max(1, timer.everyMillis)
      const fire = (): (() => void) => timer.callback
      actor.pending.push({ actor, label: TIMER_LABEL, changes: false, effect: fire, fail: timer.callback })
    }
  }

  /** When the next timer of somebody who runs is due; undefined when none is set. */
  nextTimerMillis(): number | undefined {
    const due = this.#timers
      .filter(({ actor }) => actor.state === 'running')
      .map(({ dueMillis }) => dueMillis)
    return due.length === 0 ? undefined : Math.min(...due)
  }

  /** Whether faults make sense for an operation: a timer cannot fail. */
  static canFail({ label }: Operation): boolean {
    return label !== TIMER_LABEL && !label.startsWith('answer of ')
  }

  #startTimer(callback: () => void, millis: number, repeats: boolean): VirtualTimer {
    const actor = this.#current
    if (actor === undefined) throw new Error('A timer is set while no actor runs.')
    const timer: Timer = {
      actor,
      callback,
      dueMillis: this.#millis + millis,
      everyMillis: repeats ? millis : undefined,
      cancel: () => take(this.#timers, timer),
    }
    if (actor.state !== 'dead') this.#timers.push(timer)
    return timer
  }

  #end(actor: Actor, outcome: NonNullable<Actor['outcome']>): void {
    if (actor.state === 'dead') return
    actor.state = 'done'
    actor.outcome = outcome
    this.#timers = this.#timers.filter((timer) => timer.actor !== actor)
    this.note(`${actor.name} ${'error' in outcome ? `fails: ${codeOf(outcome.error)}` : 'ends'}`)
  }

  async #untilWaiting(actor: Actor): Promise<void> {
    await settled()
    for (let turn = 0; actor.state === 'running' && actor.pending.length === 0; turn++) {
      if (this.#timers.some((timer) => timer.actor === actor) && turn > 2) return
      if (turn > MAX_IDLE_TURNS)
        throw new Error(`${actor.name} hangs: it waits for nothing that is under way.`)
      await settled()
    }
  }
}

function take<Item>(list: Item[], item: Item): void {
  const at = list.indexOf(item)
  if (at >= 0) list.splice(at, 1)
}

export function codeOf(error: unknown): string {
  return error instanceof PlatterError ? error.code : String(error)
}
