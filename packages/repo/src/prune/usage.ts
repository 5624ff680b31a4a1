import { BLOB_TYPE } from '../format/blob-entry.ts'
import { NEED } from './reachability.ts'
import type { Survey } from './survey.ts'

/** What of each pack is needed, when every blob is kept in one place. */
export interface Usage {
  /** 1 for each index entry that is the one copy of a needed blob to keep. */
  readonly keepers: Uint8Array
  /** Stored bytes of the keepers in each pack of the table. */
  readonly usedBytes: Float64Array
  /** How many they are. */
  readonly usedEntries: Uint32Array
}

/** How well a copy can be relied on, by its pack. */
const RANK = Object.freeze({
  absent: 0,
  cut: 1,
  quarantined: 2,
  fencedAndCondemned: 3,
  fenced: 4,
  condemned: 5,
  trusted: 6,
})

/**
 * Chooses the copy to keep of each needed blob. A copy is relied on where its pack is listed by a session that is
 * not fenced and is not condemned; other copies are a last resort, and must be there. The very last one is a copy in
 * a pack that a repair has put aside: what was intact in that has been stored in other packs.
 *
 * @param condemned 1 for each pack of the table that may go.
 * @throws what `onMissing` gives for a blob that has to be there and of which no copy is.
 */
export function chooseKeepers(
  survey: Survey,
  condemned: Uint8Array,
  onMissing: (entry: number) => Error,
): Usage {
  const { index, table, needs } = survey
  const keepers = new Uint8Array(index.size)
  const usedBytes = new Float64Array(table.packs.length)
  const usedEntries = new Uint32Array(table.packs.length)
  const ranks = ranksOf(survey, condemned)
  for (let first = 0; first < needs.length; first++) {
    if (needs[first] === NEED.none) continue
    let best = first
    let bestRank = ranks[index.packOf(first)]!
    for (let entry = first; bestRank < RANK.trusted; ) {
      entry = index.nextCopy(entry)
      if (entry < 0) break
      const rank = ranks[index.packOf(entry)]!
      if (rank > bestRank) {
        best = entry
        bestRank = rank
      }
    }
    if (bestRank === RANK.absent) {
      if (needs[first] === NEED.ifThere && index.location(first).type === BLOB_TYPE.chunk) continue
      throw onMissing(first)
    }
    const pack = table.numberOf[index.packOf(best)]!
    keepers[best] = 1
    usedBytes[pack]! += index.storedBytesOf(best)
    usedEntries[pack]! += 1
  }
  return { keepers, usedBytes, usedEntries }
}

/** The rank of copies in each pack of the index. */
function ranksOf({ table }: Survey, condemned: Uint8Array): Uint8Array {
  return Uint8Array.from(table.numberOf, (pack) => {
    const { present, whole, quarantined, standing } = table.packs[pack]!
    if (!present) return RANK.absent
    // A copy in a whole pack must not go because there is another one that may not be there.
    if (!whole) return RANK.cut
    if (quarantined) return RANK.quarantined
    if (standing === 'fenced') return condemned[pack] === 1 ? RANK.fencedAndCondemned : RANK.fenced
    return condemned[pack] === 1 ? RANK.condemned : RANK.trusted
  })
}
