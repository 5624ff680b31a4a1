import { PlatterError } from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { BLOB_TYPE, type BlobType } from '../format/blob-entry.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { type BlobReader, missingBlob } from '../pack/blob-reader.ts'
import { idAt, VolumeTree } from '../tree/volume-tree.ts'

/** Nodes read at once. */
const CONCURRENCY = 16

/** A node still to be visited. */
interface Visit {
  readonly tree: VolumeTree
  readonly id: Uint8Array
  readonly level: number
  readonly region: number
}

/**
 * Marks what snapshots need: 1 for the first index entry of each id, 0 for the rest. A subtree that several
 * snapshots share is visited once; memory is a byte for each index entry, and the nodes under way.
 *
 * @throws ERR_CHUNK_MISSING when the index lacks something a snapshot needs, and whatever reading a node throws.
 */
export async function findReachable(
  snapshots: readonly Snapshot[],
  index: ChunkIndex,
  reader: BlobReader,
  regionBytes: number,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<Uint8Array> {
  const live = new Uint8Array(index.size)
  /** Marks an id; says whether it was marked the first time. */
  const reach = (id: Uint8Array, type: BlobType, snapshot: Snapshot): boolean => {
    const entry = index.find(id)
    if (entry < 0) throw needed(missingBlob(id, type), snapshot)
    if (live[entry] === 1) return false
    live[entry] = 1
    return true
  }
  let done = 0
  for (const snapshot of snapshots) {
    // A stack, not a queue: what waits in it is bounded by the depth of the tree times its fanout.
    const stack: Visit[] = []
    for (const volume of snapshot.volumes) {
      const tree = new VolumeTree(reader, volume, regionBytes)
      if (tree.root !== undefined && reach(tree.root, BLOB_TYPE.node, snapshot))
        stack.push({ tree, id: tree.root, level: tree.level, region: 0 })
    }
    const visit = async ({ tree, id, level, region }: Visit): Promise<void> => {
      try {
        if (level === 0) {
          reachChunks(await tree.leaf(id, region, signal), (chunk) => reach(chunk, BLOB_TYPE.chunk, snapshot))
          return
        }
        for (const child of await tree.children(id, level, region, signal)) {
          if (child.id !== undefined && reach(child.id, BLOB_TYPE.node, snapshot))
            stack.push({ tree, id: child.id, level: level - 1, region: child.region })
        }
      } catch (error) {
        signal.throwIfAborted()
        throw needed(error, snapshot)
      }
    }
    while (stack.length > 0) {
      const batch = stack.splice(-4 * CONCURRENCY)
      for await (const _ of mapConcurrently(batch, CONCURRENCY, visit));
    }
    onProgress(++done, snapshots.length)
  }
  return live
}

function reachChunks(leaf: TreeNode, reach: (id: Uint8Array) => void): void {
  let stored = 0
  for (const kind of leaf.kinds) if (kind === RUN.stored) reach(idAt(leaf.ids, stored++))
}

/** The same error, saying that nothing can be removed because of it, and what can be done. */
function needed(error: unknown, snapshot: Snapshot): unknown {
  if (!(error instanceof PlatterError)) return error
  return new PlatterError(
    error.code,
    `Nothing was removed, because the snapshot ${snapshot.id} cannot be followed: ${error.message} Repair it, or forget that snapshot.`,
    { ...error.details, cause: error },
  )
}
