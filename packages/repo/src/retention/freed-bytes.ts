import type { SnapshotId } from '@platter/core'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { type TreeVisitor, walkSnapshots } from '../tree/walk-snapshots.ts'

/** No snapshot seen so far needs the blob. Numbers from 0 stand for the one snapshot that does. */
const NOBODY = -1
/** Several snapshots need it, and all of them are to be removed. */
const SEVERAL_REMOVED = -2
/** Several snapshots need it, and at least one of them stays. */
const STAYS = -3

/** What removing snapshots would free, in stored bytes. */
export interface FreedBytes {
  /** For each snapshot, kept ones first, what only that one needs. */
  readonly alone: Float64Array
  /** What only the removed ones need. */
  readonly together: number
}

export interface FreedBytesInput {
  readonly reader: BlobReader
  readonly regionBytes: number
  /** With `removed`, all snapshots of the repository. */
  readonly kept: readonly Snapshot[]
  readonly removed: readonly Snapshot[]
  /** Ranges of images that a repair has marked as lost. */
  readonly lost: ReadonlyMap<SnapshotId, readonly ByteRange[]>
}

/**
 * Finds out what snapshots need that others do not.
 *
 * Each blob of the index has an owner: nobody, one snapshot, or several. A subtree is walked when its node gets its
 * first owner and once more when it gets a second; after that all below it is shared as well. So each node is visited
 * twice at most, however many snapshots have it, and memory is 4 bytes for each entry of the index.
 *
 * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, ERR_CORRUPT_NODE, ERR_CORRUPT_SNAPSHOT and what the store throws.
 */
export async function freedBytes(
  { kept, removed, ...input }: FreedBytesInput,
  signal: AbortSignal = new AbortController().signal,
  onSnapshot?: (done: number) => void,
): Promise<FreedBytes> {
  const { index } = input.reader
  const owners = new BlobOwners(index, kept.length)
  let done = 0
  const walk = { ...input, index, visitor: owners, signal, onSnapshot: () => onSnapshot?.(++done) }
  // Those that stay come first, so that what they share with others is settled before the others are walked.
  await walkSnapshots(walk, kept, 0)
  await walkSnapshots(walk, removed, kept.length)
  return owners.sum(kept.length + removed.length)
}

class BlobOwners implements TreeVisitor {
  readonly #index: ChunkIndex
  readonly #keptCount: number
  /** By entry of the index; where an id stands in several packs, by its first entry. */
  readonly #owners: Int32Array

  constructor(index: ChunkIndex, keptCount: number) {
    this.#index = index
    this.#keptCount = keptCount
    this.#owners = new Int32Array(index.size).fill(NOBODY)
  }

  node(entry: number, owner: number): boolean {
    return this.#own(entry, owner)
  }

  chunks(entries: Int32Array, owner: number): void {
    for (let i = 0; i < entries.length; i++) this.#own(entries[i]!, owner)
  }

  markedChunk(entry: number, owner: number): void {
    this.#own(entry, owner)
  }

  sum(snapshotCount: number): FreedBytes {
    const alone = new Float64Array(snapshotCount)
    let together = 0
    for (let entry = 0; entry < this.#index.size; entry++) {
      const owner = this.#owners[entry]!
      if (owner === NOBODY || owner === STAYS) continue
      const bytes = this.#storedBytes(entry)
      if (owner >= 0) alone[owner]! += bytes
      if (owner === SEVERAL_REMOVED || owner >= this.#keptCount) together += bytes
    }
    return { alone, together }
  }

  /** Notes that a snapshot needs a blob; true when that changes whose it is. */
  #own(entry: number, owner: number): boolean {
    const before = this.#owners[entry]!
    if (before === owner || before === STAYS || before === SEVERAL_REMOVED) return false
    if (before === NOBODY) this.#owners[entry] = owner
    else this.#owners[entry] = before < this.#keptCount ? STAYS : SEVERAL_REMOVED
    return true
  }

  /** Stored size of a blob in all packs that hold it. */
  #storedBytes(first: number): number {
    let bytes = 0
    for (let entry = first; entry >= 0; entry = this.#index.nextCopy(entry))
      bytes += this.#index.storedBytesOf(entry)
    return bytes
  }
}
