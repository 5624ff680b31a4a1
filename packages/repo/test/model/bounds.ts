/** What a run of the model is bounded to. Everything within is explored; nothing is sampled. */
export interface Bounds {
  /**
   * For each writer, one number for each of its sessions: the chunks that the session's snapshot needs. All but the
   * last session of a writer commit checkpoints.
   */
  readonly writers: readonly (readonly Chunks[])[]
  /** Collectors that work at the same time. Each may die at any step and begin again. */
  readonly collectors: number
  /** Generations of garbage collection that are begun. */
  readonly generations: number
}

/** A set of chunks: the sum of what it has of `CHUNK_A` and `CHUNK_B`. */
export type Chunks = number

export const CHUNK_A: Chunks = 1
export const CHUNK_B: Chunks = 2
export const BOTH: Chunks = CHUNK_A | CHUNK_B
export const CHUNKS: readonly Chunks[] = [CHUNK_A, CHUNK_B]

/** The packs that are there at the start, both named by one index segment; the first snapshot needs both chunks. */
export const FIRST_PACKS: readonly Chunks[] = [BOTH, CHUNK_A]
/** Set of the first packs, as bits by pack number. */
export const FIRST_PACK_SET = 0b11
