import { HASH_BYTES, idBytes, PlatterError } from '@platter/core'
import type { Volume } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { TREE_FANOUT } from '../format/limits.ts'
import { decodeNode, RUN, type RunKind, type TreeNode } from '../format/tree-node.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { regionCount, regionsPerNode, rootLevel } from './tree-shape.ts'

/** Leaves read ahead. */
const CONCURRENCY = 8

/** One region with its leaf, or a stretch of regions that hold nothing. */
export type TreeRegion =
  | {
      readonly kind: typeof RUN.stored
      readonly region: number
      readonly regions: 1
      /** Of the leaf. */
      readonly id: Uint8Array
      readonly leaf: TreeNode
    }
  | { readonly kind: Exclude<RunKind, 0>; readonly region: number; readonly regions: number }

/** A child of a node: where it stands, and the id of its node when it has one. */
export interface TreeChild {
  readonly kind: RunKind
  /** First region below it. */
  readonly region: number
  readonly regions: number
  readonly id: Uint8Array | undefined
}

/** Reads the nodes of one volume's tree. */
export class VolumeTree {
  readonly sizeBytes: number
  readonly regionBytes: number
  readonly regions: number
  readonly level: number
  readonly root: Uint8Array | undefined
  readonly #reader: Pick<BlobReader, 'read'>

  constructor(
    reader: Pick<BlobReader, 'read'>,
    volume: Pick<Volume, 'sizeBytes' | 'root'>,
    regionBytes: number,
  ) {
    this.#reader = reader
    this.sizeBytes = volume.sizeBytes
    this.regionBytes = regionBytes
    this.regions = regionCount(volume.sizeBytes, regionBytes)
    this.level = rootLevel(this.regions)
    this.root = volume.root === undefined ? undefined : idBytes(volume.root)
    if ((this.root === undefined) !== (volume.sizeBytes === 0)) {
      throw new PlatterError(
        'ERR_CORRUPT_SNAPSHOT',
        'A volume has a size but no tree, or a tree but no size.',
      )
    }
  }

  /** Length of a region in bytes; the last one of an image may be shorter. */
  regionLength(region: number): number {
    return Math.min(this.regionBytes, this.sizeBytes - region * this.regionBytes)
  }

  /** What the node of a level that starts at `region` covers: bytes for a leaf, nodes of the level below otherwise. */
  spanOf(level: number, region: number): number {
    if (level === 0) return this.regionLength(region)
    return Math.min(TREE_FANOUT, Math.ceil((this.regions - region) / regionsPerNode(level - 1)))
  }

  /**
   * All regions from `from` to before `to`, in order.
   *
   * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, ERR_CORRUPT_NODE, and what the store throws.
   */
  async *walk(signal?: AbortSignal, from = 0, to: number = this.regions): AsyncGenerator<TreeRegion> {
    if (this.root === undefined) return
    if (this.level === 0)
      yield await this.#region({ kind: RUN.stored, region: 0, regions: 1, id: this.root }, signal)
    else yield* this.#walkNode(this.root, this.level, 0, from, to, signal)
  }

  /** Reads the leaf of a region. */
  async leaf(id: Uint8Array, region: number, signal?: AbortSignal): Promise<TreeNode> {
    return await this.#node(id, 0, region, signal)
  }

  /** Children of an interior node that starts at `region`. */
  async children(id: Uint8Array, level: number, region: number, signal?: AbortSignal): Promise<TreeChild[]> {
    const below = regionsPerNode(level - 1)
    const node = await this.#node(id, level, region, signal)
    const children: TreeChild[] = []
    let at = region
    let stored = 0
    for (let i = 0; i < node.kinds.length; i++) {
      const kind = node.kinds[i] as RunKind
      const regions = Math.min(this.regions - at, node.spans[i]! * below)
      children.push({
        kind,
        region: at,
        regions,
        id: kind === RUN.stored ? idAt(node.ids, stored++) : undefined,
      })
      at += regions
    }
    return children
  }

  async *#walkNode(
    id: Uint8Array,
    level: number,
    region: number,
    from: number,
    to: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<TreeRegion> {
    const all = await this.children(id, level, region, signal)
    const children = all.filter((child) => child.region < to && child.region + child.regions > from)
    if (level === 1) {
      yield* mapConcurrently(children, CONCURRENCY, (child) => this.#region(child, signal))
      return
    }
    for (const child of children) {
      if (child.id === undefined) yield blank(child)
      else yield* this.#walkNode(child.id, level - 1, child.region, from, to, signal)
    }
  }

  async #region(child: TreeChild, signal: AbortSignal | undefined): Promise<TreeRegion> {
    if (child.id === undefined) return blank(child)
    return {
      kind: RUN.stored,
      region: child.region,
      regions: 1,
      id: child.id,
      leaf: await this.leaf(child.id, child.region, signal),
    }
  }

  async #node(
    id: Uint8Array,
    level: number,
    region: number,
    signal: AbortSignal | undefined,
  ): Promise<TreeNode> {
    const bytes = await this.#reader.read(id, BLOB_TYPE.node, signal)
    return decodeNode(bytes, level, this.spanOf(level, region))
  }
}

/** The id numbered `i` of ids that stand one after the other, as a view. */
export function idAt(ids: Uint8Array, i: number): Uint8Array {
  return ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)
}

function blank(child: TreeChild): TreeRegion {
  return { kind: child.kind as Exclude<RunKind, 0>, region: child.region, regions: child.regions }
}
