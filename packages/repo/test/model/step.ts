import type { Rules } from './rules.ts'
import { type Field, get, type State, type StateLayout, set } from './state-layout.ts'

/** Takes a state that can follow. `kind`, `actor` and `detail` say what happened. */
export type Emit = (next: State, kind: StepKind, actor: number, detail: number) => void

/** All kinds of steps, with their words in a trace; `#` stands for the actor, `@` for the detail. */
export const STEP_KINDS = Object.freeze({
  forget: 'snapshot @ is forgotten',
  readGeneration: 'writer # reads the newest generation: @',
  intent: 'writer # writes its intent of generation @',
  rereadMoved: 'writer # reads the generation again; it moved to @',
  rereadSame: 'writer # reads the generation again, still @, and begins to list the index',
  keepClaims: 'writer # keeps the claims of its last session, loaded at generation @',
  load: 'writer # has the index; known are @',
  writePack: 'writer # stores a pack of @',
  writeSegment: 'writer # stores its index segment',
  commit: 'writer # commits snapshot @',
  commitFenced: 'writer # finds session @ fenced and ends',
  crash: 'collector # dies and begins anew',
  beginMark: 'collector # begins generation @ and lists snapshots',
  resumeWait: 'collector # finds generation @ unfinished and lists sessions',
  resumeSweep: 'collector # finds the sweep of generation @ and continues it',
  markSnapshots: 'collector # has the snapshots, live are @; it lists index and packs',
  markIndexFirst: 'collector # has the index and the packs, before the snapshots',
  markPlan: 'collector # will condemn packs @',
  markStop: 'collector # sees no copy of a live chunk and stops',
  mark: 'collector # publishes the mark of generation @ and lists sessions',
  markLost: 'collector # finds another mark of generation @',
  sessions: 'collector # will wait for sessions @',
  fence: 'collector # fences session @',
  waited: 'collector # has waited; generation @',
  sweepSnapshots: 'collector # has the snapshots again, live are @; it lists index and packs',
  sweepIndexFirst: 'collector # has the index and the packs again, before the snapshots',
  sweepPlan: 'collector # will remove packs @',
  sweepStop: 'collector # sees no copy of a live chunk and stops',
  repack: 'collector # stores a repacked pack of @',
  replaceSegment: 'collector # stores its index segment',
  sweep: 'collector # publishes the sweep of generation @',
  adopt: 'collector # finds the sweep of generation @ published',
  dropIndex: 'collector # removes the index entries of packs @',
  dropPacks: 'collector # removes packs @',
  done: 'collector # publishes the end of generation @',
  abandon: 'somebody publishes an empty sweep of generation @',
  abandonDone: 'somebody publishes the end of generation @',
})

export type StepKind = keyof typeof STEP_KINDS

/** The state that is being expanded, and the one that is being made of it. */
export class Step {
  readonly layout: StateLayout
  readonly rules: Rules
  readonly next: State
  state: State
  readonly #emit: Emit

  constructor(layout: StateLayout, rules: Rules, emit: Emit) {
    this.layout = layout
    this.rules = rules
    this.state = layout.initial()
    this.next = layout.initial()
    this.#emit = emit
  }

  get(field: Field): number {
    return get(this.state, field)
  }

  /** Starts a successor as a copy of the state. */
  fork(): State {
    this.next.set(this.state)
    return this.next
  }

  /** Changes the successor. */
  set(field: Field, value: number): void {
    set(this.next, field, value)
  }

  emit(kind: StepKind, actor: number, detail: number): void {
    this.#emit(this.next, kind, actor, detail)
  }
}

/** A step of a trace in words. */
export function describeStep(kind: StepKind, actor: number, detail: number): string {
  return STEP_KINDS[kind]
    .replace('#', String(actor + 1))
    .replace('@', SETS.get(kind)?.(detail) ?? String(detail))
}

function chunkSet(chunks: number): string {
  return ['no chunk', 'A', 'B', 'A and B'][chunks]!
}

/** A set given as bits, as the numbers that are in it. */
function numberSet(bits: number): string {
  const numbers = Array.from({ length: 30 }, (_, number) => number).filter((number) => (bits >>> number) & 1)
  return numbers.length === 0 ? 'none' : numbers.join(', ')
}

const SETS: ReadonlyMap<StepKind, (detail: number) => string> = new Map([
  ['load', chunkSet],
  ['writePack', chunkSet],
  ['markSnapshots', chunkSet],
  ['sweepSnapshots', chunkSet],
  ['repack', chunkSet],
  ['markPlan', numberSet],
  ['sessions', numberSet],
  ['sweepPlan', numberSet],
  ['dropIndex', numberSet],
  ['dropPacks', numberSet],
] as const)
