import type { PackId } from '@platter/core'
import type { SessionStanding } from '../gc/session-trust.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'

/** A pack, with all that is known of it. */
export interface PackFacts {
  readonly id: PackId
  readonly fileBytes: number
  /** It stands in the store. */
  readonly present: boolean
  /** It is as long as the index says; one that is not has lost some of its blobs. */
  readonly whole: boolean
  /** A repair has put it aside because it is damaged. */
  readonly quarantined: boolean
  /** The best standing among the sessions that list it; undefined when none does. */
  readonly standing: SessionStanding | undefined
}

const RANK: Readonly<Record<SessionStanding, number>> = { fenced: 0, open: 1, committed: 2 }

/** The packs of a repository: those the index lists, each once, and those it does not. */
export class PackTable {
  readonly packs: readonly PackFacts[]
  /** Number in `packs` for each pack of the chunk index, which has a pack once for each segment that lists it. */
  readonly numberOf: Uint32Array

  /**
   * @param standings of the session that wrote the segment, for each pack of the index.
   * @param present size of each pack in the store.
   * @param quarantined packs that a repair has put aside.
   */
  constructor(
    index: ChunkIndex,
    standings: readonly SessionStanding[],
    present: ReadonlyMap<PackId, number>,
    quarantined: ReadonlySet<PackId>,
  ) {
    const packs: (Omit<PackFacts, 'standing'> & { standing: SessionStanding | undefined })[] = []
    const facts = (id: PackId, fileBytes: number): Omit<PackFacts, 'standing'> => ({
      id,
      fileBytes,
      present: present.has(id),
      whole: present.get(id) === fileBytes,
      quarantined: quarantined.has(id),
    })
    const numbers = new Map<PackId, number>()
    this.numberOf = new Uint32Array(index.packs.length)
    index.packs.forEach(({ id, fileBytes }, i) => {
      const standing = standings[i]!
      let number = numbers.get(id)
      if (number === undefined) {
        number = packs.push({ ...facts(id, fileBytes), standing }) - 1
        numbers.set(id, number)
      } else if (RANK[standing] > RANK[packs[number]!.standing!]) {
        packs[number]!.standing = standing
      }
      this.numberOf[i] = number
    })
    for (const [id, fileBytes] of present) {
      if (!numbers.has(id)) packs.push({ ...facts(id, fileBytes), standing: undefined })
    }
    this.packs = packs
  }
}
