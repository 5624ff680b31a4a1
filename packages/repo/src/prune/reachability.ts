import { PlatterError, type SnapshotId } from '@platter/core'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { type TreeVisitor, walkSnapshots } from '../tree/walk-snapshots.ts'

/** How much a blob is needed, for the first index entry of its id. */
export const NEED: Readonly<{
  /** Nobody needs it. */
  none: 0
  /** It has to be there. */
  always: 1
  /** A chunk that is kept if it is there: wherever snapshots have it, a repair has marked their images as damaged. */
  ifThere: 2
  /** A node that has to be there, and was visited only for snapshots that have damage below it. */
  withDamage: 3
}> = Object.freeze({ none: 0, always: 1, ifThere: 2, withDamage: 3 })

/** Where reachability is looked for. */
export interface ReachabilityInput {
  readonly snapshots: readonly Snapshot[]
  readonly index: ChunkIndex
  readonly reader: BlobReader
  readonly regionBytes: number
  /** Ranges of images that a repair has marked as lost. */
  readonly lost: ReadonlyMap<SnapshotId, readonly ByteRange[]>
}

/**
 * Finds out what snapshots need: one of {@link NEED} for the first index entry of each id. A subtree that several
 * snapshots share is visited once, or, where a snapshot is marked as damaged, once more for each such snapshot.
 *
 * @throws ERR_CHUNK_MISSING when the index lacks something a snapshot needs, and whatever reading a node throws.
 */
export async function findReachable(
  input: ReachabilityInput,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<Uint8Array> {
  const { snapshots, index } = input
  const needs = new Uint8Array(index.size)
  let done = 0
  const onSnapshot = (): void => onProgress(++done, snapshots.length)
  const walk = { ...input, visitor: new NeedVisitor(needs), signal, onSnapshot, explain: blocking }
  await walkSnapshots(walk, snapshots, 0)
  return needs
}

class NeedVisitor implements TreeVisitor {
  readonly #needs: Uint8Array

  constructor(needs: Uint8Array) {
    this.#needs = needs
  }

  node(entry: number, _snapshot: number, isMarked: boolean): boolean {
    if (this.#needs[entry] === NEED.always) return false
    this.#needs[entry] = isMarked ? NEED.withDamage : NEED.always
    return true
  }

  chunks(entries: Int32Array): void {
    const needs = this.#needs
    for (let i = 0; i < entries.length; i++) needs[entries[i]!] = NEED.always
  }

  markedChunk(entry: number): void {
    if (this.#needs[entry] === NEED.none) this.#needs[entry] = NEED.ifThere
  }
}

/** The same error, saying that nothing can be removed because of it, and what can be done. */
function blocking(error: unknown, snapshot: Snapshot): unknown {
  if (!(error instanceof PlatterError)) return error
  return new PlatterError(
    error.code,
    `Nothing was removed, because the snapshot ${snapshot.id} cannot be followed: ${error.message} Repair it, or forget that snapshot.`,
    { ...error.details, cause: error },
  )
}
