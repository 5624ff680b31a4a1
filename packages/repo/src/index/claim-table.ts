import { assert, HASH_BYTES, PlatterError } from '@platter/core'
import { drawSpreadKeys, spreadId } from './spread-ids.ts'

const WORDS_PER_SLOT = HASH_BYTES / 4
/** Number of ids; then what spreads them over the slots. */
const HEADER_WORDS = 16
const KEYS_AT = 1
const EMPTY = 0
const BUSY = 1
/** A claim is a handful of stores; one that takes longer than this many looks belongs to a dead thread. */
const MAX_SPINS = 1_000_000_000
/** Slots per chunk expected: at 48 bytes a chunk, lookups still touch one or two slots. */
const SLOTS_PER_CHUNK = 1.5

/**
 * The set of ids a backup knows, shared by all its workers without locks: open addressing over shared memory, 32
 * bytes a slot, the whole id in the slot. `claim` is the only place where "is this chunk new?" is decided.
 *
 * The set grows by whole segments: older ones are searched, the newest takes claims. A worker that has not heard
 * of a new segment yet may claim what another has claimed there; the chunk is then stored twice, which costs
 * bytes and nothing else.
 */
export class ClaimTable {
  readonly #segments: Segment[] = []
  readonly #idBytes = new Uint8Array(HASH_BYTES)
  readonly #idWords = new Int32Array(this.#idBytes.buffer)

  /** Shared memory for `chunkCount` ids, to be given to `add` here and in every worker. */
  static allocate(chunkCount: number): SharedArrayBuffer {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1024, chunkCount * SLOTS_PER_CHUNK)))
    const memory = new SharedArrayBuffer((HEADER_WORDS + slots * WORDS_PER_SLOT) * 4)
    new Int32Array(memory).set(drawSpreadKeys(), KEYS_AT)
    return memory
  }

  /** Takes a segment into use; claims go to the one added last. */
  add(memory: SharedArrayBuffer): void {
    const words = new Int32Array(memory)
    const slots = (words.length - HEADER_WORDS) / WORDS_PER_SLOT
    assert(slots >= 1 && (slots & (slots - 1)) === 0, 'a claim table segment has no power of two of slots')
    this.#segments.push({ words, mask: slots - 1 })
  }

  /** Ids held. */
  get size(): number {
    return this.#segments.reduce((sum, segment) => sum + Atomics.load(segment.words, 0), 0)
  }

  /** Ids the newest segment has room for; the owner adds another before there is none. */
  get free(): number {
    const newest = this.#segments.at(-1)
    return newest === undefined ? 0 : newest.mask + 1 - Atomics.load(newest.words, 0)
  }

  /**
   * Adds an id unless it is there.
   *
   * @returns true for exactly one of all callers with this id (but see the class comment): that one stores it.
   */
  claim(id: Uint8Array): boolean {
    this.#load(id)
    const last = this.#segments.length - 1
    for (let i = 0; i < last; i++) {
      if (this.#find(this.#segments[i]!)) return false
    }
    return this.#claimIn(this.#segments[last]!)
  }

  /** Whether an id is known. */
  has(id: Uint8Array): boolean {
    this.#load(id)
    return this.#segments.some((segment) => this.#find(segment))
  }

  #load(id: Uint8Array): void {
    this.#idBytes.set(id)
    // The first word of a slot is its state as well, so the two state values cannot be first words.
    const first = this.#idWords[0]!
    if (first === EMPTY || first === BUSY) this.#idWords[0] = 2
  }

  #find(segment: Segment): boolean {
    const { words, mask } = segment
    const id = this.#idWords
    for (
      let slot = spreadId(id, 0, words, KEYS_AT) & mask, probes = 0;
      probes <= mask;
      slot = (slot + 1) & mask, probes++
    ) {
      const base = HEADER_WORDS + slot * WORDS_PER_SLOT
      const state = settled(words, base)
      if (state === EMPTY) return false
      if (state === id[0] && this.#rest(words, base)) return true
    }
    return false
  }

  #claimIn(segment: Segment): boolean {
    const { words, mask } = segment
    const id = this.#idWords
    for (
      let slot = spreadId(id, 0, words, KEYS_AT) & mask, probes = 0;
      probes <= mask;
      slot = (slot + 1) & mask, probes++
    ) {
      const base = HEADER_WORDS + slot * WORDS_PER_SLOT
      let state = settled(words, base)
      if (state === EMPTY) {
        if (Atomics.compareExchange(words, base, EMPTY, BUSY) === EMPTY) {
          for (let i = 1; i < WORDS_PER_SLOT; i++) words[base + i] = id[i]!
          // This store publishes the words before it: readers load the state first.
          Atomics.store(words, base, id[0]!)
          Atomics.add(words, 0, 1)
          return true
        }
        state = settled(words, base)
      }
      if (state === id[0] && this.#rest(words, base)) return false
    }
    throw new PlatterError('ERR_INTERNAL', 'This is a bug in Platter: the claim table is full.')
  }

  #rest(words: Int32Array, base: number): boolean {
    const id = this.#idWords
    for (let i = 1; i < WORDS_PER_SLOT; i++) {
      if (words[base + i] !== id[i]) return false
    }
    return true
  }
}

interface Segment {
  readonly words: Int32Array
  readonly mask: number
}

/** State of a slot once no thread is writing it. */
function settled(words: Int32Array, base: number): number {
  for (let spins = 0; spins < MAX_SPINS; spins++) {
    const state = Atomics.load(words, base)
    if (state !== BUSY) return state
  }
  throw new PlatterError('ERR_INTERNAL', 'A claim was never finished; the thread that made it has died.')
}
