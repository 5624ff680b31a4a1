import { assert, type BlockSource, createHasher, PlatterError, type RandomSource } from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { RUN, type RunKind, type TreeNode } from '../format/tree-node.ts'
import type { ClaimTable } from '../index/claim-table.ts'
import { idAt, type TreeRegion, type VolumeTree } from '../tree/volume-tree.ts'
import { readUntilFull } from './piece-feeder.ts'
import type { RegionTask } from './region-task.ts'

/** A region as an earlier snapshot has it. */
export type KeptRegion =
  | { readonly kind: Exclude<RunKind, 0> }
  | {
      readonly kind: typeof RUN.stored
      readonly nodeId: Uint8Array
      /** Undefined when every byte restores as zero. */
      readonly digest: Uint8Array | undefined
      readonly chunks: number
      readonly holeBytes: number
      readonly unusedBytes: number
    }

/** Of a hole, so much is looked at. */
const AUDITED_HOLE_BYTES = 64 * 1024

/**
 * The regions of an image that somebody says are as they were when an earlier snapshot was made. What the earlier
 * snapshot has of them is taken over, unless the repository may have lost it meanwhile.
 */
export class UnchangedRegions {
  readonly #tree: VolumeTree
  readonly #changed: Uint8Array
  readonly #known: Pick<ClaimTable, 'has'>
  readonly #signal: AbortSignal
  #walk: AsyncGenerator<TreeRegion> | undefined
  /** Set when the tree turned out to be damaged: the rest is read. */
  #isDamaged = false
  #current: TreeRegion | undefined

  /**
   * @param tree of the earlier snapshot.
   * @param changed 1 for each region of which some byte may differ.
   * @param known ids of blobs that a new snapshot may rely on.
   */
  constructor(tree: VolumeTree, changed: Uint8Array, known: Pick<ClaimTable, 'has'>, signal: AbortSignal) {
    this.#tree = tree
    this.#changed = changed
    this.#known = known
    this.#signal = signal
  }

  /**
   * A region to be taken over; undefined when it has to be read. Regions are asked for in ascending order.
   *
   * That its bytes did not change does not say that the earlier snapshot has them: what was unused then was left out.
   * Where it is in use now, or everything is to be kept, it is read.
   *
   * @throws what the store throws.
   */
  async take(task: RegionTask): Promise<KeptRegion | undefined> {
    const { region } = task
    if (this.#changed[region] !== 0 || this.#isDamaged) return undefined
    const item = await this.#at(region)
    if (item === undefined) return undefined
    if (item.kind === RUN.unused && !isLeftOut(task, task)) return undefined
    if (item.kind !== RUN.stored) return { kind: item.kind }
    const { id, leaf } = item
    if (!unusedRuns(leaf, task.offset).every((range) => isLeftOut(task, range))) return undefined
    if (!this.#known.has(id)) return undefined
    const chunks = leaf.ids.length / id.length
    // What a snapshot needs may have been condemned since that snapshot was forgotten.
    for (let i = 0; i < chunks; i++) if (!this.#known.has(idAt(leaf.ids, i))) return undefined
    const bytesOf = (kind: RunKind): number =>
      leaf.spans.reduce((sum, span, i) => (leaf.kinds[i] === kind ? sum + span : sum), 0)
    return {
      kind: RUN.stored,
      nodeId: id,
      digest: leaf.digest,
      chunks,
      holeBytes: bytesOf(RUN.hole),
      unusedBytes: bytesOf(RUN.unused),
    }
  }

  /**
   * Reads one chunk, or a piece of a hole, of regions drawn at random from those said to be unchanged.
   *
   * @returns the first place that differs, and how much was read.
   * @throws ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, ERR_CORRUPT_NODE, and what source and store throw.
   */
  async audit(
    source: BlockSource,
    keys: RepositoryKeys,
    random: RandomSource,
    samples: number,
  ): Promise<{ readonly differs: number | undefined; readonly bytesRead: number }> {
    const regions: number[] = []
    for (let region = 0; region < this.#changed.length; region++)
      if (this.#changed[region] === 0) regions.push(region)
    const hasher = createHasher(keys.chunkId)
    let bytesRead = 0
    for (let i = 0; i < samples && regions.length > 0; i++) {
      const [region] = regions.splice(drawn(random, regions.length), 1)
      const sample = await this.#sample(region!, random)
      if (sample === undefined) continue
      const bytes = new Uint8Array(sample.length)
      const got = await readUntilFull(source, sample.offset, bytes, this.#signal)
      bytesRead += got
      const same =
        sample.id === undefined
          ? bytes.every((byte) => byte === 0)
          : Buffer.compare(hasher.hash(bytes), sample.id) === 0
      if (got !== bytes.length || !same) return { differs: sample.offset, bytesRead }
    }
    return { differs: undefined, bytesRead }
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    await this.#walk?.return(undefined)
  }

  /** What the tree has of a region; undefined when that cannot be read. */
  async #at(region: number): Promise<TreeRegion | undefined> {
    this.#walk ??= this.#tree.walk(this.#signal, region)
    try {
      while (this.#current === undefined || this.#current.region + this.#current.regions <= region) {
        const next = await this.#walk.next()
        assert(next.done !== true, 'a volume tree ends before its image does')
        this.#current = next.value
      }
      return this.#current
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#isDamaged = true
      return undefined
    }
  }

  /** A random piece of a region: a chunk with its id, or zeros without; undefined where nothing is known. */
  async #sample(
    region: number,
    random: RandomSource,
  ): Promise<(ByteRange & { readonly id: Uint8Array | undefined }) | undefined> {
    const start = region * this.#tree.regionBytes
    for await (const item of this.#tree.walk(this.#signal, region, region + 1)) {
      if (item.kind !== RUN.stored)
        return item.kind === RUN.hole ? hole(start, this.#tree.regionLength(region), random) : undefined
      const { kinds, spans, ids } = item.leaf
      const run = drawn(random, kinds.length)
      const before = { bytes: 0, stored: 0 }
      for (let i = 0; i < run; i++) {
        before.bytes += spans[i]!
        if (kinds[i] === RUN.stored) before.stored++
      }
      if (kinds[run] === RUN.unused) return undefined
      const offset = start + before.bytes
      if (kinds[run] === RUN.hole) return hole(offset, spans[run]!, random)
      return { offset, length: spans[run]!, id: idAt(ids, before.stored) }
    }
    return undefined
  }
}

/** The runs of a leaf that were left out, in the image. */
function unusedRuns({ kinds, spans }: TreeNode, regionOffset: number): ByteRange[] {
  const runs: ByteRange[] = []
  let offset = regionOffset
  for (let i = 0; i < kinds.length; i++) {
    if (kinds[i] === RUN.unused) runs.push({ offset, length: spans[i]! })
    offset += spans[i]!
  }
  return runs
}

/** Whether nothing of a range within a region would be read. */
function isLeftOut({ ranges }: RegionTask, { offset, length }: ByteRange): boolean {
  return ranges.every(
    (range) =>
      range.kind !== RUN.stored || range.offset + range.length <= offset || range.offset >= offset + length,
  )
}

function hole(offset: number, length: number, random: RandomSource): ByteRange & { readonly id: undefined } {
  const audited = Math.min(length, AUDITED_HOLE_BYTES)
  return { offset: offset + drawn(random, length - audited + 1), length: audited, id: undefined }
}

/** Whether an error says that something of a snapshot is lost, not that it could not be looked at. */
export function isDamage(error: unknown): boolean {
  return (
    PlatterError.is(error, 'ERR_CHUNK_MISSING') ||
    (PlatterError.is(error) && /^ERR_CORRUPT_/.test(error.code))
  )
}

/** A random number from 0 to before `count`. */
function drawn(random: RandomSource, count: number): number {
  return Buffer.from(random(6)).readUIntLE(0, 6) % count
}
