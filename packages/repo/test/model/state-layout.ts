import type { Bounds, Chunks } from './bounds.ts'
import { FIRST_PACKS } from './bounds.ts'

/** One state: the store, and what every writer and collector knows, in a few 32-bit words. */
export type State = Uint32Array

/** Some bits within one word of a state. */
export interface Field {
  readonly word: number
  readonly shift: number
  readonly mask: number
}

export function get(state: State, { word, shift, mask }: Field): number {
  return (state[word]! >>> shift) & mask
}

export function set(state: State, { word, shift, mask }: Field, value: number): void {
  state[word] = (state[word]! & ~(mask << shift)) | (value << shift)
}

/** What stands under `snapshots/<session>`, together with the session's tombstone. */
export const OPEN = 0
export const COMMITTED = 1
export const FORGOTTEN = 2
export const FENCED = 3

/** The `winner` of a generation whose sweep removes nothing, published by somebody who is no collector. */
export const ABANDONED = 3
/** More would need more bits for the `winner`. */
const MAX_COLLECTORS = ABANDONED - 1

/** `gc/<n>.mark`, `.sweep` and `.done`. */
export interface GenerationFields {
  readonly marked: Field
  /** Packs the mark condemns. */
  readonly condemned: Field
  /** 0 before the sweep, then one more than the number of the collector whose sweep it is, or `ABANDONED`. */
  readonly winner: Field
  /** Packs the sweep removes. */
  readonly dropped: Field
  readonly done: Field
}

export interface WriterFields {
  readonly at: Field
  /** Which of its sessions the writer is in. */
  readonly session: Field
  readonly generation: Field
  /** One more than the generation that the claims were loaded at; 0 where there are none. */
  readonly claimsGeneration: Field
  /** Chunks taken for known. */
  readonly claims: Field
  /** Chunks found when the listing of the index began. */
  readonly firstClaims: Field
  /** Sessions seen fenced. */
  readonly fenced: Field
  /** Generations seen done, and seen swept, by number. */
  readonly seenDone: Field
  readonly seenSwept: Field
}

export interface CollectorFields {
  readonly at: Field
  readonly generation: Field
  readonly live: Field
  /** Sessions seen closed while a mark is made; sessions waited for afterwards. */
  readonly sessions: Field
  /** Packs: those listed at first, then what is to be condemned, then what is to go. */
  readonly packs: Field
  /** What an unfinished listing of snapshots, intents or index segments saw when it began. */
  readonly listed: Field
  /** Chunks to be repacked. */
  readonly repack: Field
  /** First packs that a replacing segment has to name. */
  readonly survivors: Field
}

/** Where everything is in a state, for given bounds. */
export class StateLayout {
  readonly bounds: Bounds
  /** Chunks each session's snapshot needs. Session 0 made the first packs; those of writers follow. */
  readonly needs: readonly Chunks[]
  /** First session of each writer. */
  readonly firstSessions: readonly number[]
  readonly sessionCount: number
  /** Number of the first pack that is a writer's, one for each session; then one for each collector and generation. */
  readonly writerPacks: number
  readonly collectorPacks: number
  readonly packCount: number

  readonly snapshots: readonly Field[]
  /** All of `snapshots`, two bits each. */
  readonly allSnapshots: Field
  /** By session; 0 for none, else one more than the generation. */
  readonly intents: readonly Field[]
  readonly allIntents: Field
  readonly present: Field
  /** Bit 0: the first segment. Then one for each writer's session, then three for each collector and generation. */
  readonly segments: Field
  readonly contents: readonly (Field | undefined)[]
  readonly generations: readonly GenerationFields[]
  readonly writers: readonly WriterFields[]
  readonly collectors: readonly CollectorFields[]
  readonly words: number

  constructor(bounds: Bounds) {
    if (bounds.collectors > MAX_COLLECTORS) throw new RangeError(`More than ${MAX_COLLECTORS} collectors.`)
    this.bounds = bounds
    this.needs = [3, ...bounds.writers.flat()]
    this.sessionCount = this.needs.length
    let next = 1
    this.firstSessions = bounds.writers.map((sessions) => (next += sessions.length) - sessions.length)
    const slots = bounds.collectors * bounds.generations
    this.writerPacks = FIRST_PACKS.length
    this.collectorPacks = this.writerPacks + this.sessionCount - 1
    this.packCount = this.collectorPacks + slots
    const segmentBits = this.sessionCount + 3 * slots

    const allocator = new BitAllocator()
    const bits = (width: number): Field => allocator.take(width)
    this.allSnapshots = bits(2 * this.sessionCount)
    this.snapshots = this.needs.map((_, session) => part(this.allSnapshots, 2, session))
    this.allIntents = bits(3 * this.sessionCount)
    this.intents = this.needs.map((_, session) => part(this.allIntents, 3, session))
    this.present = bits(this.packCount)
    this.segments = bits(segmentBits)
    this.contents = Array.from({ length: this.packCount }, (_, pack) =>
      pack < this.writerPacks ? undefined : bits(2),
    )
    this.generations = Array.from({ length: bounds.generations }, () => ({
      marked: bits(1),
      condemned: bits(this.packCount),
      winner: bits(2),
      dropped: bits(this.packCount),
      done: bits(1),
    }))
    this.writers = bounds.writers.map(() => ({
      at: bits(3),
      session: bits(2),
      generation: bits(2),
      claimsGeneration: bits(3),
      claims: bits(2),
      firstClaims: bits(2),
      fenced: bits(this.sessionCount),
      seenDone: bits(bounds.generations),
      seenSwept: bits(bounds.generations),
    }))
    const listedBits = Math.max(segmentBits, this.allIntents.mask.toString(2).length)
    this.collectors = Array.from({ length: bounds.collectors }, () => ({
      at: bits(4),
      generation: bits(2),
      live: bits(2),
      sessions: bits(this.sessionCount),
      packs: bits(this.packCount),
      listed: bits(listedBits),
      repack: bits(2),
      survivors: bits(2),
    }))
    this.words = allocator.words
  }

  /** The first snapshot is committed; its packs and their index segment are there. */
  initial(): State {
    const state = new Uint32Array(this.words)
    set(state, this.snapshots[0]!, COMMITTED)
    set(state, this.present, (1 << FIRST_PACKS.length) - 1)
    set(state, this.segments, 1)
    return state
  }

  /** Number of the repack of a collector in a generation. */
  slot(collector: number, generation: number): number {
    return collector * this.bounds.generations + generation - 1
  }
}

class BitAllocator {
  #word = 0
  #used = 0

  get words(): number {
    return this.#word + 1
  }

  take(width: number): Field {
    if (width < 1 || width > 30)
      throw new RangeError(`A field of ${width} bits does not fit: the bounds are too large.`)
    if (this.#used + width > 32) {
      this.#word++
      this.#used = 0
    }
    const field = { word: this.#word, shift: this.#used, mask: 2 ** width - 1 }
    this.#used += width
    return field
  }
}

function part(whole: Field, width: number, number: number): Field {
  return { word: whole.word, shift: whole.shift + width * number, mask: 2 ** width - 1 }
}
