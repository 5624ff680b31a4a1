import {
  type BlockTarget,
  createHasher,
  fromTransported,
  PlatterError,
  type ReadableStore,
} from '@platter/core'
import type { RestoreOptions, RestoreProgress, RestoreStats } from '../api/restore-types.ts'
import type { Volume } from '../api/snapshot-types.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { MAX_CHUNK_BYTES } from '../format/limits.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import { type BlobReader, isMissing } from '../pack/blob-reader.ts'
import { ImageDigest } from '../tree/image-digest.ts'
import type { VolumeTree } from '../tree/volume-tree.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import { compareRegion, isZero } from './compare-region.ts'
import { fetchBlobs, planRegion, type RegionPlan } from './fetch-region.ts'
import { WINDOW_BYTES } from './region-decoder.ts'
import type { RestoreReply, RestoreRequest } from './restore-protocol.ts'
import { SequentialWriter } from './sequential-writer.ts'

const TASKS_PER_WORKER = 2
/** Stored bytes read ahead of the workers. */
const MAX_FETCHED_BYTES = 32 * 1024 * 1024
/** Restored bytes under way to a target that the main thread writes. */
const MAX_PIECE_BYTES = 40 * 1024 * 1024
/** Step in which a blank stretch is compared with a target. */
const COMPARE_BYTES = 8 * 1024 * 1024

export interface RestoreRunInput {
  readonly store: ReadableStore
  readonly reader: BlobReader
  readonly keys: RepositoryKeys
  readonly tree: VolumeTree
  readonly volume: Volume
  readonly target: BlockTarget
  readonly options: RestoreOptions
  /** 0 works in the calling thread. */
  readonly workers: number
  readonly signal: AbortSignal
}

/** The main thread's part of a restore: reads stored blobs region by region and hands them to workers. */
export class RestoreRun {
  readonly #input: RestoreRunInput
  readonly #pool: WorkerPool<RestoreRequest, RestoreReply>
  readonly #started = performance.now()
  readonly #stop = new Int32Array(new SharedArrayBuffer(4))
  readonly #abort = new AbortController()
  readonly #inFlight: number[]
  /** For each worker, when the last region assigned to it has been posted. */
  readonly #posted: Promise<void>[]
  readonly #workerOfRegion = new Map<number, { worker: number; storedBytes: number; bytes: number }>()
  readonly #compares = new Map<number, (same: Uint8Array) => void>()
  /** Digests of regions that came before their turn; undefined stands for a region of zeros. */
  readonly #digests = new Map<number, { readonly digest: Uint8Array | undefined; readonly regions: number }>()
  readonly #digest: ImageDigest
  readonly #sequential: SequentialWriter | undefined
  readonly #stats = { bytesWritten: 0, bytesZeroed: 0, bytesUnchanged: 0 }
  #nextDigest = 0
  #fetchedBytes = 0
  #bytesDone = 0
  #piecesInFlight = 0
  #failure: unknown
  #changed: (() => void) | undefined
  #scratch: Uint8Array | undefined

  constructor(input: RestoreRunInput) {
    this.#input = input
    const { workers, keys, target, tree } = input
    const threads = Math.max(1, workers)
    this.#inFlight = new Array<number>(threads).fill(0)
    this.#posted = this.#inFlight.map(() => Promise.resolve())
    this.#digest = new ImageDigest(keys.imageDigest)
    if (target.sequential) {
      this.#sequential = new SequentialWriter(target, this.#abort.signal, (error) => this.#fail(error))
      this.#sequential.onSection(() => this.#changed?.())
    }
    this.#pool = new WorkerPool<RestoreRequest, RestoreReply>(
      workers,
      () => ({
        kind: 'restore',
        regionBytes: tree.regionBytes,
        keys,
        stop: this.#stop.buffer as SharedArrayBuffer,
        fd: target.sequential ? undefined : target.direct?.fd,
        maxPieces: Math.max(2, Math.floor(MAX_PIECE_BYTES / WINDOW_BYTES / threads)),
      }),
      (worker, reply) => this.#receive(worker, reply),
      (error) => this.#fail(error),
    )
  }

  /** Restores the whole volume. */
  async run(): Promise<RestoreStats> {
    const { signal, target, tree, options } = this.#input
    const onAbort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const timer = this.#startProgress()
    try {
      signal.throwIfAborted()
      const { blank } = await target.prepare(tree.sizeBytes, { keepContent: options.onlyDifferent === true })
      for await (const item of tree.walk(this.#abort.signal)) {
        this.#throwIfFailed()
        if (item.kind === RUN.stored) await this.#region(item.region, item.leaf, blank)
        else await this.#blankRegions(item.region, item.regions, blank)
      }
      await this.#until(() => this.#workerOfRegion.size === 0 && this.#piecesInFlight === 0)
      await this.#until(() => (this.#sequential?.pending ?? 0) === 0)
      await target.flush()
      this.#checkDigest()
      options.onProgress?.(this.#progress())
      return { bytesTotal: tree.sizeBytes, ...this.#stats, seconds: this.#seconds() }
    } catch (error) {
      this.#fail(error)
      throw this.#failure
    } finally {
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
      await this.#pool.close()
    }
  }

  async #region(region: number, leaf: TreeNode, blank: boolean): Promise<void> {
    const { tree, reader, store, options } = this.#input
    const offset = region * tree.regionBytes
    const length = tree.regionLength(region)
    const worker = await this.#freeWorker()
    const same =
      options.onlyDifferent === true ? await this.#compare(worker, region, offset, leaf) : undefined
    const plan = await this.#plan(leaf, same)
    if (same === undefined) await this.#zeroRuns(offset, leaf, undefined, blank)
    else await this.#zeroRuns(offset, leaf, same, false)
    await this.#until(
      () => this.#fetchedBytes === 0 || this.#fetchedBytes + plan.storedBytes <= MAX_FETCHED_BYTES,
    )
    this.#fetchedBytes += plan.storedBytes
    this.#inFlight[worker]!++
    this.#workerOfRegion.set(region, { worker, storedBytes: plan.storedBytes, bytes: length })
    this.#sequential?.region(region, offset + length)
    // Not awaited: while this region is read from the store, the ones before are decoded. But a worker gets its
    // regions in the image's order: one that came too early could use up all pieces while another waits behind it.
    const fetching = fetchBlobs(plan, reader, store, this.#abort.signal)
    fetching.catch(() => undefined)
    this.#posted[worker] = this.#posted[worker]!.then(async () => {
      const { blobs, buffers } = await fetching
      const task = { region, offset, length, runs: plan.runs, blobs }
      this.#pool.links[worker]!.post({ type: 'region', task }, buffers)
    }).catch((error: unknown) => this.#fail(error))
  }

  /** A prune may have replaced parts of the index while they were read, so what is missing is looked for again. */
  async #plan(leaf: TreeNode, same: Uint8Array | undefined): Promise<RegionPlan> {
    const { reader } = this.#input
    const { index } = reader
    try {
      return planRegion(leaf, index, same)
    } catch (error) {
      if (!isMissing(error) || !(await reader.reload(index))) throw error
      return planRegion(leaf, reader.index, same)
    }
  }

  /** Makes the holes of a region read as zeros, and counts them. */
  async #zeroRuns(
    offset: number,
    leaf: TreeNode,
    same: Uint8Array | undefined,
    blank: boolean,
  ): Promise<void> {
    let at = offset
    for (let i = 0; i < leaf.kinds.length; i++) {
      const length = leaf.spans[i]!
      if (same?.[i] === 1) this.#stats.bytesUnchanged += length
      else if (leaf.kinds[i] !== RUN.stored) await this.#zero(at, length, blank)
      at += length
    }
  }

  async #zero(offset: number, length: number, blank: boolean): Promise<void> {
    this.#stats.bytesZeroed += length
    // A sequential writer emits zeros for whatever lies between pieces.
    if (blank || this.#sequential !== undefined) return
    await this.#input.target.zero(offset, length, { signal: this.#abort.signal })
  }

  async #blankRegions(region: number, regions: number, blank: boolean): Promise<void> {
    const { tree, options } = this.#input
    const offset = region * tree.regionBytes
    const end = Math.min(tree.sizeBytes, (region + regions) * tree.regionBytes)
    if (options.onlyDifferent === true) await this.#zeroDifferent(offset, end)
    else await this.#zero(offset, end - offset, blank)
    this.#sequential?.zeros(end)
    this.#bytesDone += end - offset
    this.#takeDigest(region, undefined, regions)
  }

  async #zeroDifferent(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += COMPARE_BYTES) {
      this.#throwIfFailed()
      const length = Math.min(COMPARE_BYTES, to - at)
      if (await isZero(this.#readTarget, at, length, this.#scratchMemory()))
        this.#stats.bytesUnchanged += length
      else await this.#zero(at, length, false)
    }
  }

  async #compare(worker: number, region: number, offset: number, leaf: TreeNode): Promise<Uint8Array> {
    const task = { region, offset, kinds: leaf.kinds, spans: leaf.spans, ids: leaf.ids }
    if (this.#input.target.direct === undefined) {
      const hasher = createHasher(this.#input.keys.chunkId)
      return await compareRegion(task, this.#readTarget, hasher, this.#scratchMemory())
    }
    let same: Uint8Array | undefined
    this.#compares.set(region, (result) => {
      same = result
    })
    this.#pool.links[worker]!.post({ type: 'compare', task })
    await this.#until(() => same !== undefined)
    return same!
  }

  readonly #readTarget = async (offset: number, into: Uint8Array): Promise<number> => {
    const { target } = this.#input
    let done = 0
    while (done < into.length) {
      const got = await target.read!(offset + done, into.subarray(done), { signal: this.#abort.signal })
      if (got === 0) break
      done += got
    }
    return done
  }

  #scratchMemory(): Uint8Array {
    this.#scratch ??= new Uint8Array(MAX_CHUNK_BYTES)
    return this.#scratch
  }

  #receive(worker: number, reply: RestoreReply): void {
    switch (reply.type) {
      case 'region': {
        const entry = this.#workerOfRegion.get(reply.region)!
        this.#workerOfRegion.delete(reply.region)
        this.#inFlight[worker]!--
        this.#fetchedBytes -= entry.storedBytes
        this.#bytesDone += entry.bytes
        this.#stats.bytesWritten += reply.bytesWritten
        this.#sequential?.regionDone(reply.region)
        this.#takeDigest(reply.region, reply.digest, 1)
        break
      }
      case 'piece':
        this.#writePiece(worker, reply.region, reply.offset, reply.bytes)
        break
      case 'compared':
        this.#compares.get(reply.region)!(reply.same)
        this.#compares.delete(reply.region)
        break
      case 'error':
        this.#fail(fromTransported(reply.error))
        break
    }
    this.#changed?.()
  }

  #writePiece(worker: number, region: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#piecesInFlight++
    const written = (): void => {
      this.#piecesInFlight--
      this.#pool.links[worker]!.post({ type: 'memory', memory: bytes.buffer }, [bytes.buffer])
      this.#changed?.()
    }
    if (this.#sequential !== undefined) {
      this.#sequential.piece(region, offset, bytes, written)
      return
    }
    this.#input.target
      .write(offset, bytes, { signal: this.#abort.signal })
      .then(written, (error) => this.#fail(error))
  }

  /** Feeds region digests to the image digest in the order of the image. */
  #takeDigest(region: number, digest: Uint8Array | undefined, regions: number): void {
    this.#digests.set(region, { digest, regions })
    for (
      let next = this.#digests.get(this.#nextDigest);
      next !== undefined;
      next = this.#digests.get(this.#nextDigest)
    ) {
      if (next.digest === undefined) this.#digest.zeroRegions(next.regions)
      else this.#digest.region(next.digest)
      this.#digests.delete(this.#nextDigest)
      this.#nextDigest += next.regions
    }
  }

  #checkDigest(): void {
    const { volume, tree, options } = this.#input
    // What was kept was compared by chunk ids and not digested.
    if (options.onlyDifferent === true) return
    const actual = this.#digest.finish(tree.sizeBytes)
    if (actual !== volume.imageDigest) {
      throw new PlatterError(
        'ERR_DIGEST_MISMATCH',
        'What was restored is not what was backed up: the image digest differs although every chunk was intact. Do not use the target; report this.',
        { expected: volume.imageDigest, actual },
      )
    }
  }

  async #freeWorker(): Promise<number> {
    const least = (): number => this.#inFlight.indexOf(Math.min(...this.#inFlight))
    await this.#until(() => this.#inFlight[least()]! < TASKS_PER_WORKER)
    return least()
  }

  async #until(condition: () => boolean): Promise<void> {
    this.#throwIfFailed()
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
      this.#throwIfFailed()
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= error ?? new PlatterError('ERR_INTERNAL', 'A restore failed without saying why.')
    Atomics.store(this.#stop, 0, 1)
    this.#abort.abort(this.#failure)
    this.#changed?.()
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #startProgress(): NodeJS.Timeout | undefined {
    const { onProgress, progressMillis = 100 } = this.#input.options
    if (onProgress === undefined) return undefined
    return setInterval(() => {
      try {
        onProgress(this.#progress())
      } catch (error) {
        // Thrown out of a timer it would end the process.
        this.#fail(error)
      }
    }, progressMillis)
  }

  #progress(): RestoreProgress {
    return {
      bytesDone: this.#bytesDone,
      bytesTotal: this.#input.tree.sizeBytes,
      bytesWritten: this.#stats.bytesWritten,
      seconds: this.#seconds(),
    }
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000
  }
}
