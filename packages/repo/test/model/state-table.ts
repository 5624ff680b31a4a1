import type { State } from './state-layout.ts'

const CHUNK_BITS = 16
const CHUNK_STATES = 1 << CHUNK_BITS
const LEAST_SLOTS = 1 << 16

/**
 * The set of states seen, numbered in the order they came. The states themselves are kept and compared, word by word, so
 * that no two can be taken for one.
 */
export class StateTable {
  readonly #words: number
  readonly #states: Uint32Array[] = []
  readonly #parents: Uint32Array[] = []
  /** Open addressing: one more than a state's number, 0 where free; and its hash beside it. */
  #slots = new Uint32Array(LEAST_SLOTS)
  #hashes = new Uint32Array(LEAST_SLOTS)
  #size = 0

  constructor(words: number) {
    this.#words = words
  }

  get size(): number {
    return this.#size
  }

  /** Number of a state that is new, or -1 for one that was known. */
  add(state: State, parent: number): number {
    const hash = hashOf(state)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (let entry = this.#slots[slot]!; entry !== 0; entry = this.#slots[slot]!) {
      if (this.#hashes[slot] === hash && this.#isAt(entry - 1, state)) return -1
      slot = (slot + 1) & mask
    }
    const number = this.#append(state, parent)
    this.#slots[slot] = number + 1
    this.#hashes[slot] = hash
    if (this.#size * 2 > this.#slots.length) this.#grow()
    return number
  }

  read(number: number, into: State): void {
    const from = (number & (CHUNK_STATES - 1)) * this.#words
    const chunk = this.#states[number >>> CHUNK_BITS]!
    for (let at = 0; at < this.#words; at++) into[at] = chunk[from + at]!
  }

  parent(number: number): number {
    return this.#parents[number >>> CHUNK_BITS]![number & (CHUNK_STATES - 1)]!
  }

  #append(state: State, parent: number): number {
    const number = this.#size++
    const place = number & (CHUNK_STATES - 1)
    if (place === 0) {
      this.#states.push(new Uint32Array(CHUNK_STATES * this.#words))
      this.#parents.push(new Uint32Array(CHUNK_STATES))
    }
    this.#states[number >>> CHUNK_BITS]!.set(state, place * this.#words)
    this.#parents[number >>> CHUNK_BITS]![place] = parent
    return number
  }

  #isAt(number: number, state: State): boolean {
    const from = (number & (CHUNK_STATES - 1)) * this.#words
    const chunk = this.#states[number >>> CHUNK_BITS]!
    for (let at = 0; at < this.#words; at++) if (chunk[from + at] !== state[at]) return false
    return true
  }

  #grow(): void {
    const slots = new Uint32Array(2 * this.#slots.length)
    const hashes = new Uint32Array(slots.length)
    const mask = slots.length - 1
    this.#slots.forEach((entry, from) => {
      if (entry === 0) return
      const hash = this.#hashes[from]!
      let slot = hash & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = entry
      hashes[slot] = hash
    })
    this.#slots = slots
    this.#hashes = hashes
  }
}

/** 32 bits of MurmurHash3 over the words. */
function hashOf(state: State): number {
  let hash = 0x9747b28c
  for (let at = 0; at < state.length; at++) {
    let word = Math.imul(state[at]!, 0xcc9e2d51)
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593)
    hash ^= word
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
