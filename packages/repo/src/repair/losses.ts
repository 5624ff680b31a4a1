import { PlatterError } from '@platter/core'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import { DAMAGE } from '../check/damage.ts'
import type { BlobType } from '../format/blob-entry.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { mergedRanges } from '../tree/byte-ranges.ts'
import { regionsPerNode } from '../tree/tree-shape.ts'
import { idAt, VolumeTree } from '../tree/volume-tree.ts'

/** Places kept of one chunk: any of them will do to read it from. */
const MAX_PLACES = 16

/** A chunk that snapshots need and the repository does not have, and where in images it belongs. */
export interface LostChunk {
  readonly id: Uint8Array
  readonly length: number
  /** Offsets in images. */
  readonly offsets: Set<number>
}

/** What the snapshots need and the repository does not have. */
export interface Losses {
  readonly chunks: ReadonlyMap<string, LostChunk>
  /** Ids of tree nodes, in hex, with their bytes. What lies below them is not known. */
  readonly nodes: ReadonlyMap<string, Uint8Array>
  /** For each snapshot that lacks something, the ranges of its image, merged. */
  readonly ranges: ReadonlyMap<Snapshot, readonly ByteRange[]>
}

export interface FindLossesInput {
  readonly snapshots: readonly Snapshot[]
  readonly reader: BlobReader
  readonly regionBytes: number
  /** Whether the repository has an intact blob of this id, and for a chunk of this length. */
  readonly has: (id: Uint8Array, type: BlobType, length: number | undefined) => boolean
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

/** Walks the trees of all snapshots for what they need and the repository does not have. */
export async function findLosses(input: FindLossesInput): Promise<Losses> {
  return await new LossFinder(input).run()
}

class LossFinder {
  readonly #input: FindLossesInput
  readonly #chunks = new Map<string, LostChunk>()
  readonly #nodes = new Map<string, Uint8Array>()
  readonly #ranges = new Map<Snapshot, ByteRange[]>()
  /** Subtrees that lack nothing are not walked again. */
  readonly #whole = new Set<string>()

  constructor(input: FindLossesInput) {
    this.#input = input
  }

  async run(): Promise<Losses> {
    const { snapshots, onProgress } = this.#input
    let done = 0
    for (const snapshot of snapshots) {
      const ranges: ByteRange[] = []
      await this.#volumes(snapshot, ranges)
      if (ranges.length > 0) this.#ranges.set(snapshot, mergedRanges(ranges))
      onProgress(++done, snapshots.length)
    }
    return { chunks: this.#chunks, nodes: this.#nodes, ranges: this.#ranges }
  }

  async #volumes(snapshot: Snapshot, ranges: ByteRange[]): Promise<void> {
    const { reader, regionBytes } = this.#input
    for (const volume of snapshot.volumes) {
      let tree: VolumeTree
      try {
        tree = new VolumeTree(reader, volume, regionBytes)
      } catch (error) {
        this.#assertDamage(error)
        ranges.push({ offset: 0, length: Math.max(1, volume.sizeBytes) })
        continue
      }
      if (tree.root !== undefined) await this.#node(tree, tree.root, tree.level, 0, ranges)
    }
  }

  /** Whether a node and all below it is there. */
  async #node(
    tree: VolumeTree,
    id: Uint8Array,
    level: number,
    region: number,
    ranges: ByteRange[],
  ): Promise<boolean> {
    this.#input.signal.throwIfAborted()
    const offset = region * tree.regionBytes
    const length = Math.min(regionsPerNode(level) * tree.regionBytes, tree.sizeBytes - offset)
    const hex = Buffer.from(id).toString('hex')
    const key = `${hex} ${level} ${length}`
    if (this.#whole.has(key)) return true
    try {
      const isWhole =
        level === 0
          ? this.#leaf(await tree.leaf(id, region, this.#input.signal), offset, ranges)
          : await this.#children(tree, id, level, region, ranges)
      if (isWhole) this.#whole.add(key)
      return isWhole
    } catch (error) {
      this.#assertDamage(error)
      if (!this.#input.has(id, BLOB_TYPE.node, undefined)) this.#nodes.set(hex, id)
      ranges.push({ offset, length })
      return false
    }
  }

  async #children(
    tree: VolumeTree,
    id: Uint8Array,
    level: number,
    region: number,
    ranges: ByteRange[],
  ): Promise<boolean> {
    let isWhole = true
    for (const child of await tree.children(id, level, region, this.#input.signal)) {
      if (child.id === undefined) continue
      isWhole = (await this.#node(tree, child.id, level - 1, child.region, ranges)) && isWhole
    }
    return isWhole
  }

  #leaf(leaf: TreeNode, offset: number, ranges: ByteRange[]): boolean {
    let isWhole = true
    let stored = 0
    let at = offset
    for (let i = 0; i < leaf.kinds.length; i++) {
      const length = leaf.spans[i]!
      if (leaf.kinds[i] === RUN.stored) {
        const id = idAt(leaf.ids, stored++)
        if (!this.#input.has(id, BLOB_TYPE.chunk, length)) {
          this.#lost(id, at, length)
          ranges.push({ offset: at, length })
          isWhole = false
        }
      }
      at += length
    }
    return isWhole
  }

  #lost(id: Uint8Array, offset: number, length: number): void {
    const hex = Buffer.from(id).toString('hex')
    const known = this.#chunks.get(hex)
    if (known === undefined) this.#chunks.set(hex, { id, length, offsets: new Set([offset]) })
    else if (known.offsets.size < MAX_PLACES) known.offsets.add(offset)
  }

  /** Damage is what is looked for; not being able to look is thrown on. */
  #assertDamage(error: unknown): void {
    this.#input.signal.throwIfAborted()
    const { code } = error instanceof PlatterError ? error : { code: undefined }
    const isLaterVersion = code === 'ERR_UNSUPPORTED_VERSION' || code === 'ERR_UNSUPPORTED_FEATURE'
    if (code === undefined || !DAMAGE.has(code) || isLaterVersion) throw error
  }
}
