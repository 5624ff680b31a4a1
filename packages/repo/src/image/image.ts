import { type BlockImage, type Extent, type ImageRange, PlatterError } from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { idAt, type VolumeTree } from '../tree/volume-tree.ts'
import { ChunkCache } from './chunk-cache.ts'
import type { WorkerDecoder } from './worker-decoder.ts'

/** Options of {@link Repository.openImage}. */
export interface ImageOptions {
  /** Bound on the plaintext kept in memory. Default 64 MiB. */
  readonly cacheBytes?: number
  /** Threads that decode what is read. Default 0: the calling thread does. They end when the image is closed. */
  readonly workers?: number
  readonly signal?: AbortSignal
}

const DEFAULT_CACHE_BYTES = 64 * 1024 * 1024
/** Leaves kept in memory; one describes a region. */
const MAX_LEAVES = 64
/** Plaintext that is read at once where somebody reads on; at most so much, and at most a share of the cache. */
const MAX_AHEAD_BYTES = 4 * 1024 * 1024
const AHEAD_SHARE = 1 / 8

interface Leaf {
  readonly node: TreeNode
  /** Offset within the region at which each run starts, and at the end the region's length. */
  readonly starts: Float64Array
  /** Number among the stored runs, for each stored run. */
  readonly stored: Int32Array
}

/**
 * A snapshot's image, readable at any place. Reads of unused space and holes give zeros. Any number of reads may
 * run at once.
 */
export class Image implements BlockImage, AsyncDisposable {
  readonly snapshot: Snapshot
  readonly sizeBytes: number
  readonly #tree: VolumeTree
  readonly #reader: BlobReader
  readonly #decoder: WorkerDecoder | undefined
  readonly #chunks: ChunkCache
  readonly #aheadBytes: number
  readonly #leaves = new Map<number, Promise<Leaf | undefined>>()
  #closed = false

  /** Use {@link Repository.openImage}. */
  constructor(
    snapshot: Snapshot,
    tree: VolumeTree,
    reader: BlobReader,
    decoder: WorkerDecoder | undefined,
    options: ImageOptions,
  ) {
    this.snapshot = snapshot
    this.sizeBytes = tree.sizeBytes
    this.#tree = tree
    this.#reader = reader
    this.#decoder = decoder
    const cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES
    this.#chunks = new ChunkCache(cacheBytes)
    this.#aheadBytes = Math.min(MAX_AHEAD_BYTES, cacheBytes * AHEAD_SHARE)
  }

  /**
   * Reads `length` bytes at `offset`; fewer where the image ends, none at or behind its end.
   *
   * @throws ERR_INVALID_ARGUMENT, ERR_CLOSED, ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, and what the store throws.
   */
  async read(
    offset: number,
    length: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    assertRange(offset, length)
    const into = new Uint8Array(Math.max(0, Math.min(length, this.sizeBytes - offset)))
    await this.readInto(offset, into, options)
    return into
  }

  /** Like `read`, into memory of the caller's; says how much there was. */
  async readInto(
    offset: number,
    into: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    assertRange(offset, into.length)
    if (this.#closed) throw new PlatterError('ERR_CLOSED', 'The image has been closed.')
    const end = Math.min(this.sizeBytes, offset + into.length)
    for (let at = offset; at < end; ) {
      options.signal?.throwIfAborted()
      const region = Math.floor(at / this.#tree.regionBytes)
      const regionEnd = Math.min(end, (region + 1) * this.#tree.regionBytes)
      await this.#readRegion(region, at, into.subarray(at - offset, regionEnd - offset))
      at = regionEnd
    }
    return Math.max(0, end - offset)
  }

  /** What lies where: data, holes and unused space, ascending and without gaps; of a range, or of all. */
  async *extents({ offset = 0, length, signal }: ImageRange = {}): AsyncGenerator<Extent> {
    assertRange(offset, length ?? 0)
    const end = Math.min(this.sizeBytes, length === undefined ? this.sizeBytes : offset + length)
    let pending: Extent | undefined
    for await (const run of this.#runs(offset, end, signal)) {
      const piece = clipped(run, offset, end)
      if (piece === undefined) continue
      if (pending !== undefined && pending.kind === piece.kind) {
        pending = { ...pending, length: pending.length + piece.length }
        continue
      }
      if (pending !== undefined) yield pending
      pending = piece
    }
    if (pending !== undefined) yield pending
  }

  /** Frees the caches and ends the workers. Calling it twice is harmless. */
  async close(): Promise<void> {
    this.#closed = true
    this.#leaves.clear()
    await this.#decoder?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs of all regions that a range touches. */
  async *#runs(from: number, to: number, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
    const { regionBytes } = this.#tree
    const kinds = ['data', 'hole', 'unused'] as const
    if (from >= to) return
    for await (const item of this.#tree.walk(
      signal,
      Math.floor(from / regionBytes),
      Math.ceil(to / regionBytes),
    )) {
      let offset = item.region * this.#tree.regionBytes
      if (item.kind !== RUN.stored) {
        const end = Math.min(this.sizeBytes, (item.region + item.regions) * this.#tree.regionBytes)
        yield { offset, length: end - offset, kind: kinds[item.kind]! }
        continue
      }
      for (let i = 0; i < item.leaf.kinds.length; i++) {
        const length = item.leaf.spans[i]!
        yield { offset, length, kind: kinds[item.leaf.kinds[i]!]! }
        offset += length
      }
    }
  }

  /** Fills `into` with bytes from image offset `offset`; all of them lie in one region. */
  async #readRegion(region: number, offset: number, into: Uint8Array): Promise<void> {
    const leaf = await this.#leaf(region)
    if (leaf === undefined) {
      into.fill(0)
      return
    }
    const start = offset - region * this.#tree.regionBytes
    const end = start + into.length
    const copies: Promise<void>[] = []
    for (let run = runAt(leaf.starts, start); leaf.starts[run]! < end; run++) {
      const from = Math.max(start, leaf.starts[run]!)
      const to = Math.min(end, leaf.starts[run + 1]!)
      const part = into.subarray(from - start, to - start)
      if (leaf.node.kinds[run] === RUN.stored)
        copies.push(this.#copyChunk(region, leaf, run, from - leaf.starts[run]!, part))
      else part.fill(0)
      if (run + 1 >= leaf.starts.length - 1) break
    }
    await Promise.all(copies)
  }

  async #copyChunk(region: number, leaf: Leaf, run: number, from: number, into: Uint8Array): Promise<void> {
    const length = leaf.node.spans[run]!
    const key = keyOf(leaf, run)
    if (!this.#chunks.has(key) && (await this.#isReadOn(region, leaf, run))) this.#readAhead(leaf, run)
    const chunk = await this.#chunks.get(key, length, () =>
      this.#reader.read(idOf(leaf, run), BLOB_TYPE.chunk),
    )
    if (chunk.length !== length) {
      throw new PlatterError(
        'ERR_CORRUPT_NODE',
        `A leaf gives a chunk ${length} bytes that has ${chunk.length}.`,
      )
    }
    into.set(chunk.subarray(from, from + into.length))
  }

  /** Whether what lies before a chunk was read lately, as it is when somebody reads on. */
  async #isReadOn(region: number, leaf: Leaf, run: number): Promise<boolean> {
    const before = lastStored(leaf, run)
    if (before >= 0) return this.#chunks.has(keyOf(leaf, before))
    const left = await this.#leaves.get(region - 1)
    const last = left === undefined ? -1 : lastStored(left, left.node.kinds.length)
    return last >= 0 && this.#chunks.has(keyOf(left!, last))
  }

  /** Takes this chunk and those behind it into the cache, neighbours in a pack with one read. */
  #readAhead(leaf: Leaf, first: number): void {
    const runs: number[] = []
    let bytes = 0
    for (let run = first; run < leaf.node.kinds.length && bytes < this.#aheadBytes; run++) {
      if (leaf.node.kinds[run] !== RUN.stored || this.#chunks.has(keyOf(leaf, run))) continue
      bytes += leaf.node.spans[run]!
      runs.push(run)
    }
    if (runs.length < 2) return
    const ids = runs.map((run) => idOf(leaf, run))
    const plains = this.#reader.readMany(ids, BLOB_TYPE.chunk)
    for (const [number, run] of runs.entries()) {
      const load = async (): Promise<Uint8Array> => {
        // One that cannot be read must not keep its neighbours from those who want them.
        const plain = await plains.then(
          (all) => all[number]!,
          () => this.#reader.read(ids[number]!, BLOB_TYPE.chunk),
        )
        // What is not compressed is a part of all that was read.
        return plain.byteLength < plain.buffer.byteLength ? plain.slice() : plain
      }
      this.#chunks.get(keyOf(leaf, run), leaf.node.spans[run]!, load).catch(ignore)
    }
  }

  async #leaf(region: number): Promise<Leaf | undefined> {
    const known = this.#leaves.get(region)
    if (known !== undefined) return await known
    const loading = this.#loadLeaf(region)
    this.#leaves.set(region, loading)
    const [oldest] = this.#leaves.keys()
    if (this.#leaves.size > MAX_LEAVES && oldest !== undefined) this.#leaves.delete(oldest)
    try {
      return await loading
    } catch (error) {
      this.#leaves.delete(region)
      throw error
    }
  }

  async #loadLeaf(region: number): Promise<Leaf | undefined> {
    for await (const item of this.#tree.walk(undefined, region, region + 1)) {
      return item.kind === RUN.stored ? prepared(item.leaf) : undefined
    }
    return undefined
  }
}

function assertRange(offset: number, length: number): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0) return
  throw new PlatterError('ERR_INVALID_ARGUMENT', `${length} bytes at ${offset} is no range of an image.`)
}

/** The part of an extent that lies in a range. */
function clipped(extent: Extent, from: number, to: number): Extent | undefined {
  const offset = Math.max(from, extent.offset)
  const end = Math.min(to, extent.offset + extent.length)
  return offset < end ? { ...extent, offset, length: end - offset } : undefined
}

function idOf(leaf: Leaf, run: number): Uint8Array {
  return idAt(leaf.node.ids, leaf.stored[run]!)
}

function keyOf(leaf: Leaf, run: number): string {
  return Buffer.from(idOf(leaf, run)).toString('latin1')
}

/** The last stored run before a run; -1 if there is none. */
function lastStored(leaf: Leaf, before: number): number {
  let run = before - 1
  while (run >= 0 && leaf.stored[run]! < 0) run--
  return run
}

/** Whoever wants the chunk is told why it cannot be read. */
function ignore(): void {}

function prepared(node: TreeNode): Leaf {
  const starts = new Float64Array(node.kinds.length + 1)
  const stored = new Int32Array(node.kinds.length)
  let count = 0
  for (let i = 0; i < node.kinds.length; i++) {
    starts[i + 1] = starts[i]! + node.spans[i]!
    stored[i] = node.kinds[i] === RUN.stored ? count++ : -1
  }
  return { node, starts, stored }
}

/** Number of the run that holds a byte of the region. */
function runAt(starts: Float64Array, at: number): number {
  let low = 0
  let high = starts.length - 2
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (starts[middle]! <= at) low = middle
    else high = middle - 1
  }
  return low
}
