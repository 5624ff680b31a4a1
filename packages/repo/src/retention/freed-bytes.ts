import type { Snapshot } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { BLOB_TYPE, type BlobType } from '../format/blob-entry.ts'
import { RUN } from '../format/tree-node.ts'
import { type BlobReader, missingBlob } from '../pack/blob-reader.ts'
import { idAt, VolumeTree } from '../tree/volume-tree.ts'

/** Leaves read at once. */
const CONCURRENCY = 8
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

/**
 * Finds out what snapshots need that others do not. `kept` and `removed` must be all snapshots of the repository.
 *
 * Each blob of the index has an owner: nobody, one snapshot, or several. A subtree is walked when its node gets its
 * first owner and once more when it gets a second; after that all below it is shared as well. So each node is read
 * twice at most, however many snapshots have it, and memory is 4 bytes for each entry of the index.
 *
 * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, ERR_CORRUPT_NODE, ERR_CORRUPT_SNAPSHOT and what the store throws.
 */
export async function freedBytes(
  reader: BlobReader,
  regionBytes: number,
  kept: readonly Snapshot[],
  removed: readonly Snapshot[],
  signal?: AbortSignal,
  onSnapshot?: (done: number) => void,
): Promise<FreedBytes> {
  const owners = new BlobOwners(reader, regionBytes, kept.length, signal)
  // Those that stay come first, so that what they share with others is settled before the others are walked.
  let done = 0
  for (const snapshot of [...kept, ...removed]) {
    await owners.add(done, snapshot)
    onSnapshot?.(++done)
  }
  return owners.sum(done)
}

class BlobOwners {
  readonly #reader: BlobReader
  readonly #regionBytes: number
  readonly #keptCount: number
  readonly #signal: AbortSignal | undefined
  /** By entry of the index; where an id stands in several packs, by its first entry. */
  readonly #owners: Int32Array

  constructor(reader: BlobReader, regionBytes: number, keptCount: number, signal: AbortSignal | undefined) {
    this.#reader = reader
    this.#regionBytes = regionBytes
    this.#keptCount = keptCount
    this.#signal = signal
    this.#owners = new Int32Array(reader.index.size).fill(NOBODY)
  }

  async add(owner: number, snapshot: Snapshot): Promise<void> {
    for (const volume of snapshot.volumes) {
      const tree = new VolumeTree(this.#reader, volume, this.#regionBytes)
      if (tree.root !== undefined && this.#own(tree.root, BLOB_TYPE.node, owner))
        await this.#walk(tree, tree.root, tree.level, 0, owner)
    }
  }

  sum(snapshotCount: number): FreedBytes {
    const { index } = this.#reader
    const alone = new Float64Array(snapshotCount)
    let together = 0
    for (let entry = 0; entry < index.size; entry++) {
      const owner = this.#owners[entry]!
      if (owner === NOBODY || owner === STAYS) continue
      const bytes = this.#storedBytes(entry)
      if (owner >= 0) alone[owner]! += bytes
      if (owner === SEVERAL_REMOVED || owner >= this.#keptCount) together += bytes
    }
    return { alone, together }
  }

  /** Walks what is below a node that has just got another owner. */
  async #walk(tree: VolumeTree, id: Uint8Array, level: number, region: number, owner: number): Promise<void> {
    this.#signal?.throwIfAborted()
    if (level === 0) {
      const { kinds, ids } = await tree.leaf(id, region, this.#signal)
      const stored = kinds.reduce((count, kind) => count + Number(kind === RUN.stored), 0)
      for (let i = 0; i < stored; i++) this.#own(idAt(ids, i), BLOB_TYPE.chunk, owner)
      return
    }
    const children = await tree.children(id, level, region, this.#signal)
    const changed = children.filter(
      (child) => child.id !== undefined && this.#own(child.id, BLOB_TYPE.node, owner),
    )
    const walks = mapConcurrently(changed, level === 1 ? CONCURRENCY : 1, (child) =>
      this.#walk(tree, child.id!, level - 1, child.region, owner),
    )
    for await (const _ of walks);
  }

  /** Notes that a snapshot needs a blob; true when that changes whose it is. */
  #own(id: Uint8Array, type: BlobType, owner: number): boolean {
    const entry = this.#reader.index.find(id)
    if (entry < 0) throw missingBlob(id, type)
    const before = this.#owners[entry]!
    if (before === owner || before === STAYS || before === SEVERAL_REMOVED) return false
    if (before === NOBODY) this.#owners[entry] = owner
    else this.#owners[entry] = before < this.#keptCount ? STAYS : SEVERAL_REMOVED
    return true
  }

  /** Stored size of a blob in all packs that hold it. */
  #storedBytes(first: number): number {
    const { index } = this.#reader
    const id = index.id(first)
    let bytes = 0
    for (let entry = first; entry >= 0; entry = index.findNext(id, entry))
      bytes += index.location(entry).storedBytes
    return bytes
  }
}
