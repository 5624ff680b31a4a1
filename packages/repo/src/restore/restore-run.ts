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
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { MAX_CHUNK_BYTES } from '../format/limits.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import { type BlobReader, isMissing } from '../pack/blob-reader.ts'
import { readStepBytes } from '../pack/read-pack-range.ts'
import type { VolumeTree } from '../tree/volume-tree.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import { compareRegion, isZero } from './compare-region.ts'
import { fetchBlobs, planSlice, type SlicePlan } from './fetch-slice.ts'
import { RegionDigests } from './region-digests.ts'
import type { RestoreReply, RestoreRequest, RunAction } from './restore-protocol.ts'
import { SequentialWriter } from './sequential-writer.ts'
import { WINDOW_BYTES } from './slice-decoder.ts'
import { type RegionSlice, sliceRegion } from './slice-region.ts'

const TASKS_PER_WORKER = 2
/** Stored bytes read ahead, for each worker. */
const FETCHED_BYTES_PER_WORKER = 8 * 1024 * 1024
/** Restored bytes under way from each worker to a target that the main thread writes: a slice. */
const PIECE_BYTES_PER_WORKER = 8 * 1024 * 1024
/** Step in which a blank stretch is compared with a target. */
const COMPARE_BYTES = 8 * 1024 * 1024

export interface RestoreRunInput {
  readonly store: ReadableStore
  /** Knows the index, and finds other copies of what is damaged or has been moved. */
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

/** A slice that a worker is at. */
interface SliceInFlight {
  readonly worker: number
  readonly region: number
  readonly offset: number
  readonly length: number
  readonly runs: readonly RunAction[]
  readonly storedBytes: number
}

/** The main thread's part of a restore: reads stored blobs slice by slice and hands them to workers. */
export class RestoreRun {
  readonly #input: RestoreRunInput
  readonly #pool: WorkerPool<RestoreRequest, RestoreReply>
  readonly #started = performance.now()
  readonly #stop = new Int32Array(new SharedArrayBuffer(4))
  readonly #abort = new AbortController()
  readonly #inFlight: number[]
  readonly #maxFetchedBytes: number
  /** For each worker, when the last slice assigned to it has been posted. */
  readonly #posted: Promise<void>[]
  readonly #slices = new Map<number, SliceInFlight>()
  readonly #compares = new Map<number, (same: Uint8Array) => void>()
  /** Absent where what is kept on the target is compared by chunk ids and not seen by a digest. */
  readonly #digests: RegionDigests | undefined
  readonly #sequential: SequentialWriter | undefined
  readonly #stats = { bytesWritten: 0, bytesZeroed: 0, bytesUnchanged: 0 }
  #nextSlice = 0
  #fetchedBytes = 0
  #bytesDone = 0
  #piecesInFlight = 0
  #failure: unknown
  #changed: (() => void) | undefined
  #scratch: Uint8Array | undefined

  constructor(input: RestoreRunInput) {
    this.#input = input
    const { workers, keys, target, tree, options } = input
    const threads = Math.max(1, workers)
    this.#inFlight = new Array<number>(threads).fill(0)
    this.#maxFetchedBytes = threads * FETCHED_BYTES_PER_WORKER
    this.#posted = this.#inFlight.map(() => Promise.resolve())
    if (options.onlyDifferent !== true) this.#digests = new RegionDigests(tree.regionBytes, keys)
    if (target.sequential) {
      this.#sequential = new SequentialWriter(target, this.#abort.signal, (error) => this.#fail(error))
      this.#sequential.onSection(() => this.#changed?.())
    }
    this.#pool = new WorkerPool<RestoreRequest, RestoreReply>(
      workers,
      () => ({
        kind: 'restore',
        keys,
        stop: this.#stop.buffer as SharedArrayBuffer,
        fd: target.sequential ? undefined : target.direct?.fd,
        maxPieces: PIECE_BYTES_PER_WORKER / WINDOW_BYTES,
        digest: this.#digests !== undefined,
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
      await this.#until(() => this.#slices.size === 0 && this.#piecesInFlight === 0)
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
    const { tree, options } = this.#input
    const offset = region * tree.regionBytes
    const same = options.onlyDifferent === true ? await this.#compare(region, offset, leaf) : undefined
    await this.#zeroRuns(offset, leaf, same, blank && same === undefined)
    const slices = sliceRegion(leaf, offset)
    this.#digests?.begin(region, offset, tree.regionLength(region), slices.length, leaf.digest)
    for (const slice of slices) await this.#slice(region, slice, leaf, same)
  }

  async #slice(
    region: number,
    slice: RegionSlice,
    leaf: TreeNode,
    same: Uint8Array | undefined,
  ): Promise<void> {
    const { store, keys } = this.#input
    const { offset, length } = slice
    const plan = await this.#plan(leaf, slice, same)
    const worker = await this.#freeWorker()
    await this.#until(
      () => this.#fetchedBytes === 0 || this.#fetchedBytes + plan.storedBytes <= this.#maxFetchedBytes,
    )
    this.#fetchedBytes += plan.storedBytes
    this.#inFlight[worker]!++
    const number = this.#nextSlice++
    const { runs, storedBytes } = plan
    this.#slices.set(number, { worker, region, offset, length, runs, storedBytes })
    this.#sequential?.slice(number, offset + length)
    // Not awaited: while this slice is read from the store, the ones before are decoded. But a worker gets its
    // slices in the image's order: one that came too early could use up all pieces while another waits behind it.
    const fetching = fetchBlobs(plan, store, readStepBytes(keys.pack), this.#abort.signal)
    fetching.catch(() => undefined)
    this.#posted[worker] = this.#posted[worker]!.then(async () => {
      const { blobs, buffers } = await fetching
      this.#pool.links[worker]!.post(
        { type: 'slice', task: { slice: number, offset, length, runs, blobs } },
        buffers,
      )
    }).catch((error: unknown) => this.#fail(error))
  }

  /** A prune may have replaced parts of the index while they were read, so what is missing is looked for again. */
  async #plan(leaf: TreeNode, slice: RegionSlice, same: Uint8Array | undefined): Promise<SlicePlan> {
    const { reader } = this.#input
    const { index } = reader
    try {
      return planSlice(leaf, slice, index, same)
    } catch (error) {
      if (!isMissing(error) || !(await reader.reload(index))) throw error
      return planSlice(leaf, slice, reader.index, same)
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
    this.#digests?.zeroRegions(region, regions)
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

  async #compare(region: number, offset: number, leaf: TreeNode): Promise<Uint8Array> {
    const task = { region, offset, kinds: leaf.kinds, spans: leaf.spans, ids: leaf.ids }
    if (this.#input.target.direct === undefined) {
      const hasher = createHasher(this.#input.keys.chunkId)
      return await compareRegion(task, this.#readTarget, hasher, this.#scratchMemory())
    }
    const worker = await this.#freeWorker()
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
      case 'slice': {
        const slice = this.#slices.get(reply.slice)!
        this.#slices.delete(reply.slice)
        this.#inFlight[worker]!--
        this.#fetchedBytes -= slice.storedBytes
        this.#bytesDone += slice.length
        this.#stats.bytesWritten += reply.bytesWritten
        this.#sequential?.sliceDone(reply.slice)
        this.#digests?.slice(slice.region, slice.offset, slice.runs, reply.digests)
        break
      }
      case 'piece':
        this.#writePiece(worker, reply.slice, reply.offset, reply.bytes)
        break
      case 'chunk-wanted':
        this.#findCopy(worker, reply.id)
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

  /** A copy of a chunk is damaged or could not be read: looks at all there are, and fails when none is intact. */
  #findCopy(worker: number, id: Uint8Array): void {
    const link = this.#pool.links[worker]!
    this.#input.reader.read(id, BLOB_TYPE.chunk, this.#abort.signal).then(
      (plain) => link.post({ type: 'chunk', plain }),
      (error: unknown) => {
        this.#fail(error)
        link.post({ type: 'chunk', plain: undefined })
      },
    )
  }

  #writePiece(worker: number, slice: number, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#piecesInFlight++
    const written = (): void => {
      this.#piecesInFlight--
      this.#pool.links[worker]!.post({ type: 'memory', memory: bytes.buffer }, [bytes.buffer])
      this.#changed?.()
    }
    if (this.#sequential !== undefined) {
      this.#sequential.piece(slice, offset, bytes, written)
      return
    }
    this.#input.target
      .write(offset, bytes, { signal: this.#abort.signal })
      .then(written, (error) => this.#fail(error))
  }

  #checkDigest(): void {
    const { volume, tree } = this.#input
    if (this.#digests === undefined) return
    const actual = this.#digests.finish(tree.sizeBytes)
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
      // What is decoded has not arrived yet: a pipe takes as long for zeros, and for what waits in memory, as for data.
      bytesDone: this.#sequential?.position ?? this.#bytesDone,
      bytesTotal: this.#input.tree.sizeBytes,
      bytesWritten: this.#stats.bytesWritten,
      seconds: this.#seconds(),
    }
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000
  }
}
