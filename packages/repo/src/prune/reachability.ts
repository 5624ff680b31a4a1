import { assert, HASH_BYTES, PlatterError } from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import type { TreeNode } from '../format/tree-node.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { type BlobReader, missingBlob } from '../pack/blob-reader.ts'
import { VolumeTree } from '../tree/volume-tree.ts'

/** Nodes fetched together. */
const BATCH = 256
/** Leaves kept to compare the next snapshot's with: 32 MiB with the default chunk and region sizes. */
const MAX_LAST_LEAVES = 4096
const ID_WORDS = HASH_BYTES / 4

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
  /** Marks a node; says whether it was marked the first time. */
  const reachNode = (id: Uint8Array): boolean => {
    const entry = index.find(id)
    if (entry < 0) throw missingBlob(id, BLOB_TYPE.node)
    if (live[entry] === 1) return false
    live[entry] = 1
    return true
  }
  const lastLeaves = new Map<string, Uint32Array>()
  let done = 0
  for (const snapshot of snapshots) {
    // A stack, not a queue: what waits in it is bounded by the depth of the tree times its fanout.
    const stack: Visit[] = []
    const nodes = new NodeBatch(reader, signal)
    try {
      for (const volume of snapshot.volumes) {
        const tree = new VolumeTree(nodes, volume, regionBytes)
        if (tree.root !== undefined && reachNode(tree.root))
          stack.push({ tree, id: tree.root, level: tree.level, region: 0 })
      }
      while (stack.length > 0) {
        const batch = stack.splice(-BATCH)
        await nodes.fetch(batch.map(({ id }) => id))
        for (const { tree, id, level, region } of batch) {
          if (level === 0) {
            const key = `${region} ${snapshot.name}`
            const leaf = wordsOf(await tree.leaf(id, region, signal))
            reachChunks(leaf, lastLeaves.get(key), index, live)
            if (lastLeaves.size >= MAX_LAST_LEAVES) lastLeaves.clear()
            lastLeaves.set(key, leaf)
            continue
          }
          for (const child of await tree.children(id, level, region, signal)) {
            if (child.id !== undefined && reachNode(child.id))
              stack.push({ tree, id: child.id, level: level - 1, region: child.region })
          }
        }
      }
    } catch (error) {
      signal.throwIfAborted()
      throw needed(error, snapshot)
    }
    onProgress(++done, snapshots.length)
  }
  return live
}

/** Nodes that were fetched together, for the tree to take them one by one. */
class NodeBatch {
  readonly #reader: BlobReader
  readonly #signal: AbortSignal
  readonly #nodes = new Map<string, Uint8Array>()

  constructor(reader: BlobReader, signal: AbortSignal) {
    this.#reader = reader
    this.#signal = signal
  }

  async fetch(ids: readonly Uint8Array[]): Promise<void> {
    this.#nodes.clear()
    const plains = await this.#reader.readMany(ids, BLOB_TYPE.node, this.#signal)
    ids.forEach((id, i) => {
      this.#nodes.set(keyOf(id), plains[i]!)
    })
  }

  async read(id: Uint8Array): Promise<Uint8Array> {
    const node = this.#nodes.get(keyOf(id))
    assert(node !== undefined, 'a node is taken from a batch that does not have it')
    return node
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1')
}

/**
 * Marks the chunks of a leaf, given as the words of their ids. This is where the time goes, so what the leaf of the
 * same region had in the snapshot before, in the same place, is not looked up again.
 */
function reachChunks(
  leaf: Uint32Array,
  before: Uint32Array | undefined,
  index: ChunkIndex,
  live: Uint8Array,
): void {
  for (let i = 0; i < leaf.length / ID_WORDS; i++) {
    if (before !== undefined && sameId(leaf, before, i)) continue
    const entry = index.findNumbered(leaf, i)
    if (entry < 0) throw missingBlob(new Uint8Array(leaf.buffer, i * HASH_BYTES, HASH_BYTES), BLOB_TYPE.chunk)
    live[entry] = 1
  }
}

function sameId(a: Uint32Array, b: Uint32Array, i: number): boolean {
  for (let word = i * ID_WORDS; word < (i + 1) * ID_WORDS; word++) {
    if (a[word] !== b[word]) return false
  }
  return true
}

/** The ids of a leaf's chunks as words, in memory of their own. */
function wordsOf({ ids }: TreeNode): Uint32Array {
  // Not `slice`: of a Buffer, as decryption gives it, that is no copy.
  return new Uint32Array(new Uint8Array(ids).buffer)
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
