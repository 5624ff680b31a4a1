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

/**
 * Chooses the copy to keep of each needed blob. A copy is relied on where its pack is listed by a session that is
 * not fenced and is not condemned; other copies are a last resort, and must be there. The very last one is a copy in
 * a pack that a repair has put aside: what was intact in that has been stored in other packs.
 *
 * @param condemned 1 for each pack of the table that may go.
 * @throws what `onMissing` gives for a needed blob of which no copy is there.
 */
export function chooseKeepers(
  { index, table, live }: Survey,
  condemned: Uint8Array,
  onMissing: (entry: number) => Error,
): Usage {
  const keepers = new Uint8Array(index.size)
  const usedBytes = new Float64Array(table.packs.length)
  const usedEntries = new Uint32Array(table.packs.length)
  for (let first = 0; first < live.length; first++) {
    if (live[first] === 0) continue
    const id = index.id(first)
    let best = -1
    let bestRank = -1
    for (let entry = first; entry >= 0 && bestRank < 4; entry = index.findNext(id, entry)) {
      const pack = table.numberOf[index.packOf(entry)]!
      const { present, quarantined, standing } = table.packs[pack]!
      if (!present) continue
      const trusted = standing !== 'fenced'
      const spared = condemned[pack] === 0
      const rank = quarantined ? 0 : trusted ? (spared ? 4 : 3) : spared ? 2 : 1
      if (rank > bestRank) {
        best = entry
        bestRank = rank
      }
    }
    if (best < 0) throw onMissing(first)
    const pack = table.numberOf[index.packOf(best)]!
    keepers[best] = 1
    usedBytes[pack]! += index.storedBytesOf(best)
    usedEntries[pack]! += 1
  }
  return { keepers, usedBytes, usedEntries }
}
