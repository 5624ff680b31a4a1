import { PlatterError, type ReadableStore } from '@platter/core'
import type { Snapshot, Volume } from '../api/snapshot-types.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { packName, snapshotName } from '../format/object-names.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { BlobReader, missingBlob } from '../pack/blob-reader.ts'
import { regionsPerNode } from '../tree/tree-shape.ts'
import { idAt, VolumeTree } from '../tree/volume-tree.ts'
import { DAMAGE } from './damage.ts'
import type { Findings } from './findings.ts'

/**
 * Walks the trees of snapshots: every node must be readable and cover what it should, every chunk must be in the
 * index, in a pack without findings. Subtrees found sound are not walked again for other snapshots; damaged ones
 * are, so that every snapshot they concern is named.
 */
export class TreeChecker {
  readonly #reader: BlobReader
  readonly #index: ChunkIndex
  readonly #regionBytes: number
  readonly #findings: Findings
  readonly #signal: AbortSignal
  readonly #sound = new Set<string>()
  readonly #seen: Uint8Array
  readonly #absentPacks: ReadonlySet<number>
  /** Distinct chunks seen so far. */
  chunks = 0

  constructor(
    store: ReadableStore,
    index: ChunkIndex,
    keys: RepositoryKeys,
    regionBytes: number,
    findings: Findings,
    signal: AbortSignal,
    absentPacks: ReadonlySet<number>,
  ) {
    this.#reader = new BlobReader(store, index, keys)
    this.#index = index
    this.#regionBytes = regionBytes
    this.#findings = findings
    this.#signal = signal
    this.#absentPacks = absentPacks
    this.#seen = new Uint8Array(index.size)
  }

  /** Checks all volumes of a snapshot. */
  async check(snapshot: Snapshot): Promise<void> {
    for (const volume of snapshot.volumes) await this.#volume(snapshot, volume)
  }

  async #volume(snapshot: Snapshot, volume: Volume): Promise<void> {
    try {
      const tree = new VolumeTree(this.#reader, volume, this.#regionBytes)
      if (tree.root !== undefined) await this.#node(snapshot, tree, tree.root, tree.level, 0)
    } catch (error) {
      this.#report(error, snapshot, snapshotName(snapshot.id))
    }
  }

  /** Whether a node and all below it are sound. */
  async #node(
    snapshot: Snapshot,
    tree: VolumeTree,
    id: Uint8Array,
    level: number,
    region: number,
  ): Promise<boolean> {
    this.#signal.throwIfAborted()
    const hex = Buffer.from(id).toString('hex')
    // The last node of a level must cover less, so the same node is not sound everywhere.
    const { regionBytes, sizeBytes } = tree
    const coverBytes = Math.min(regionsPerNode(level) * regionBytes, sizeBytes - region * regionBytes)
    const key = `${hex} ${level} ${coverBytes}`
    if (this.#sound.has(key)) return true
    let sound = this.#blob(id, BLOB_TYPE.node, snapshot)
    try {
      if (level === 0) {
        sound = this.#leaf(snapshot, await tree.leaf(id, region, this.#signal)) && sound
      } else {
        for (const child of await tree.children(id, level, region, this.#signal)) {
          if (child.id === undefined) continue
          sound = (await this.#node(snapshot, tree, child.id, level - 1, child.region)) && sound
        }
      }
    } catch (error) {
      this.#report(error, snapshot, hex)
      sound = false
    }
    if (sound) this.#sound.add(key)
    return sound
  }

  #leaf(snapshot: Snapshot, leaf: TreeNode): boolean {
    let sound = true
    let stored = 0
    for (let i = 0; i < leaf.kinds.length; i++) {
      if (leaf.kinds[i] !== RUN.stored) continue
      const id = idAt(leaf.ids, stored++)
      sound = this.#blob(id, BLOB_TYPE.chunk, snapshot, leaf.spans[i]!) && sound
    }
    return sound
  }

  /** Whether the index has a blob, of the right length, in a pack without findings. */
  #blob(id: Uint8Array, type: 0 | 1, snapshot: Snapshot, length?: number): boolean {
    let entry = this.#index.find(id)
    while (entry >= 0 && this.#absentPacks.has(this.#index.packOf(entry)))
      entry = this.#index.findNext(id, entry)
    const hex = Buffer.from(id).toString('hex')
    if (entry < 0) {
      this.#report(missingBlob(id, type), snapshot, hex)
      return false
    }
    if (type === BLOB_TYPE.chunk && this.#seen[entry] === 0) {
      this.#seen[entry] = 1
      this.chunks++
    }
    const place = this.#index.location(entry)
    if (place.type !== type || (length !== undefined && place.rawBytes !== length)) {
      const error = new PlatterError(
        'ERR_CORRUPT_NODE',
        `The blob ${hex} is not what a leaf says: another type or length.`,
      )
      this.#report(error, snapshot, hex)
      return false
    }
    const known = this.#findings.get(hex) ?? this.#findings.get(packName(this.#index.packs[place.pack]!.id))
    if (known !== undefined) this.#findings.add(known, snapshot.id)
    return known === undefined
  }

  #report(error: unknown, snapshot: Snapshot, object: string): void {
    this.#signal.throwIfAborted()
    if (!(error instanceof PlatterError) || !DAMAGE.has(error.code)) throw error
    this.#findings.add({ key: object, code: error.code, message: error.message, object }, snapshot.id)
  }
}
