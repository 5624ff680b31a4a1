import type { SnapshotId } from '@platter/core'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { decodeNode, RUN, type TreeNode } from '../format/tree-node.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { type BlobReader, missingBlob } from '../pack/blob-reader.ts'
import { intersects, liesWithin } from './byte-ranges.ts'
import { NodeEntries, RecentNodes } from './recent-nodes.ts'
import { regionsPerNode } from './tree-shape.ts'
import { VolumeTree } from './volume-tree.ts'

/** Snapshots whose trees are walked at once: the nodes a backup stored lie together, so they are read together. */
const SNAPSHOTS_AT_ONCE = 16
/** Nodes fetched together. */
const BATCH = 256

/** Takes what snapshots need. Nodes and chunks are told by the first index entry of their id, snapshots by number. */
export interface TreeVisitor {
  /**
   * @param isMarked part of the image that the node describes is marked as lost in this snapshot.
   * @returns whether what is below the node is to be visited for this snapshot.
   */
  node(entry: number, snapshot: number, isMarked: boolean): boolean
  chunks(entries: Int32Array, snapshot: number): void
  /** A chunk that is there although the range where it belongs is marked as lost. */
  markedChunk(entry: number, snapshot: number): void
}

export interface SnapshotWalk {
  readonly index: ChunkIndex
  readonly reader: BlobReader
  readonly regionBytes: number
  /** Ranges of images that a repair has marked as lost: a chunk within one need not be in the index. */
  readonly lost: ReadonlyMap<SnapshotId, readonly ByteRange[]>
  readonly visitor: TreeVisitor
  readonly signal: AbortSignal
  readonly onSnapshot: () => void
  /** What to throw instead of an error that came up in the tree of a snapshot. */
  readonly explain?: (error: unknown, snapshot: Snapshot) => unknown
}

/**
 * Walks the trees of many snapshots level by level, some snapshots at a time. Which subtrees are left out since they
 * were visited before is the visitor's to say. Memory is the nodes that one level of these snapshots adds, and the ids of
 * those visited last, with which the ids of the next are compared before they are looked up.
 *
 * @param firstNumber the visitor's number of the first of these snapshots.
 * @throws ERR_CHUNK_MISSING when the index lacks something a snapshot needs, and whatever reading a node throws.
 */
export async function walkSnapshots(
  walk: SnapshotWalk,
  snapshots: readonly Snapshot[],
  firstNumber: number,
): Promise<void> {
  const walker = new SnapshotWalker(walk)
  for (let at = 0; at < snapshots.length; at += SNAPSHOTS_AT_ONCE) {
    const part = snapshots.slice(at, at + SNAPSHOTS_AT_ONCE)
    await walker.walk(part, firstNumber + at)
    for (const _ of part) walk.onSnapshot()
  }
}

/** A node still to be visited. */
interface Visit {
  readonly image: Image
  readonly entry: number
  readonly level: number
  readonly region: number
  readonly isMarked: boolean
}

/** The tree of one volume of a snapshot. */
interface Image {
  readonly snapshot: Snapshot
  readonly number: number
  readonly tree: VolumeTree
  readonly lost: readonly ByteRange[]
}

class SnapshotWalker {
  readonly #walk: SnapshotWalk
  readonly #recent = new RecentNodes()

  constructor(walk: SnapshotWalk) {
    this.#walk = walk
  }

  async walk(snapshots: readonly Snapshot[], firstNumber: number): Promise<void> {
    let visits: Visit[] = []
    snapshots.forEach((snapshot, i) => {
      try {
        this.#roots(snapshot, firstNumber + i, visits)
      } catch (error) {
        throw this.#explained(error, snapshot)
      }
    })
    while (visits.length > 0) {
      const next: Visit[] = []
      const nodes = byNode(visits)
      for (let at = 0; at < nodes.length; at += BATCH) {
        const batch = nodes.slice(at, at + BATCH)
        const plains = await this.#fetch(batch)
        batch.forEach((visitsOfNode, i) => {
          this.#visitNode(visitsOfNode, plains[i]!, next)
        })
      }
      visits = next
    }
  }

  #roots(snapshot: Snapshot, number: number, visits: Visit[]): void {
    const { reader, regionBytes, lost } = this.#walk
    for (const volume of snapshot.volumes) {
      const tree = new VolumeTree(reader, volume, regionBytes)
      // Marks speak of the one image that a snapshot has.
      const ranges = snapshot.volumes.length === 1 ? (lost.get(snapshot.id) ?? []) : []
      const image = { snapshot, number, tree, lost: ranges }
      if (tree.root !== undefined)
        this.#reach(image, this.#walk.index.find(tree.root), tree.root, tree.level, 0, visits)
    }
  }

  /** Nodes, each given by the visits to it. */
  async #fetch(batch: readonly (readonly Visit[])[]): Promise<readonly Uint8Array[]> {
    const { index, reader, signal } = this.#walk
    const first = batch.map((visits) => visits[0]!)
    try {
      const ids = first.map(({ entry }) => index.id(entry))
      return await reader.readMany(ids, BLOB_TYPE.node, signal)
    } catch (error) {
      signal.throwIfAborted()
      // One by one, to tell whose tree it is.
      for (const { entry, image } of first) {
        await reader.read(index.id(entry), BLOB_TYPE.node, signal).catch((cause: unknown) => {
          signal.throwIfAborted()
          throw this.#explained(cause, image.snapshot)
        })
      }
      throw error
    }
  }

  /** Visits a node for all that have come to it. */
  #visitNode(visits: readonly Visit[], bytes: Uint8Array, next: Visit[]): void {
    let node: TreeNode | undefined
    let nodeSpan = -1
    let found: NodeEntries | undefined
    for (const visit of visits) {
      const { image, level, region } = visit
      try {
        const span = image.tree.spanOf(level, region)
        if (node?.level !== level || nodeSpan !== span) {
          const decoded = decodeNode(bytes, level, span)
          found ??= this.#look(decoded.ids, visit)
          node = decoded
          nodeSpan = span
        }
        this.#visit(visit, node, found!, next)
      } catch (error) {
        throw this.#explained(error, image.snapshot)
      }
    }
  }

  /** Looks the ids of a node up. */
  #look(ids: Uint8Array<ArrayBuffer>, { image, level, region }: Visit): NodeEntries {
    const place = `${level} ${region} ${image.snapshot.name}`
    const found = new NodeEntries(ids, this.#walk.index, this.#recent.get(place))
    this.#recent.set(place, found)
    return found
  }

  #visit(visit: Visit, node: TreeNode, found: NodeEntries, next: Visit[]): void {
    const { image, level } = visit
    if (level > 0) this.#children(visit, node, found, next)
    else if (visit.isMarked) this.#markedLeaf(visit, node, found)
    else {
      if (found.missing >= 0) throw missingBlob(found.id(found.missing), BLOB_TYPE.chunk)
      this.#walk.visitor.chunks(found.entries, image.number)
    }
  }

  #children({ image, level, region }: Visit, node: TreeNode, found: NodeEntries, next: Visit[]): void {
    const below = regionsPerNode(level - 1)
    let at = region
    let stored = 0
    for (let i = 0; i < node.kinds.length; i++) {
      if (node.kinds[i] === RUN.stored) {
        this.#reach(image, found.entries[stored]!, found.id(stored), level - 1, at, next)
        stored++
      }
      at += node.spans[i]! * below
    }
  }

  #reach(image: Image, entry: number, id: Uint8Array, level: number, region: number, next: Visit[]): void {
    // A lost node is no lost chunk: what it would lead to is not known, and so not what may go.
    if (entry < 0) throw missingBlob(id, BLOB_TYPE.node)
    const { tree, lost, number } = image
    const offset = region * tree.regionBytes
    const isMarked = lost.length > 0 && intersects(lost, offset, regionsPerNode(level) * tree.regionBytes)
    if (this.#walk.visitor.node(entry, number, isMarked)) next.push({ image, entry, level, region, isMarked })
  }

  /** A leaf of which some chunks may be missing: those within a range that is marked, and no others. */
  #markedLeaf({ image, region }: Visit, node: TreeNode, found: NodeEntries): void {
    const { visitor } = this.#walk
    let offset = region * image.tree.regionBytes
    let stored = 0
    for (let i = 0; i < node.kinds.length; i++) {
      const length = node.spans[i]!
      if (node.kinds[i] === RUN.stored) {
        const entry = found.entries[stored]!
        if (liesWithin(image.lost, offset, length)) {
          if (entry >= 0) visitor.markedChunk(entry, image.number)
        } else {
          if (entry < 0) throw missingBlob(found.id(stored), BLOB_TYPE.chunk)
          visitor.chunks(found.entries.subarray(stored, stored + 1), image.number)
        }
        stored++
      }
      offset += length
    }
  }

  #explained(error: unknown, snapshot: Snapshot): unknown {
    return this.#walk.explain === undefined ? error : this.#walk.explain(error, snapshot)
  }
}

/** The visits to each node, in the order of the first of them. */
function byNode(visits: readonly Visit[]): Visit[][] {
  const found = new Map<number, Visit[]>()
  for (const visit of visits) {
    const others = found.get(visit.entry)
    if (others === undefined) found.set(visit.entry, [visit])
    else others.push(visit)
  }
  return [...found.values()]
}
