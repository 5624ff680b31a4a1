import { type BlockTarget, fromTransported, PlatterError, type ReadableStore } from '@platter/core'
import type { RestoreOptions, RestoreProgress, RestoreStats } from '../api/restore-types.ts'
import type { Volume } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import { type BlobReader, isMissing } from '../pack/blob-reader.ts'
import { readStepBytes } from '../pack/read-pack-range.ts'
import type { TreeRegion, VolumeTree } from '../tree/volume-tree.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import { differingRuns } from './differing-runs.ts'
import { fetchBlobs, planSlice, type SlicePlan } from './fetch-slice.ts'
import { RegionDigests } from './region-digests.ts'
import type { RestoreReply, RestoreRequest, RunAction } from './restore-protocol.ts'
import { bytesInRange, type RestoreScope, restoredBytes } from './restore-scope.ts'
import type { ResumePoint } from './resume-point.ts'
import { SequentialWriter } from './sequential-writer.ts'
import { WINDOW_BYTES } from './slice-decoder.ts'
import { type RegionSlice, sliceRegion } from './slice-region.ts'
import { TargetComparison } from './target-comparison.ts'
import { TargetZeros } from './target-zeros.ts'

const TASKS_PER_WORKER = 2
/** Stored bytes read ahead, for each worker. */
const FETCHED_BYTES_PER_WORKER = 8 * 1024 * 1024
/** Restored bytes under way from each worker to a target that the main thread writes: a slice. */
const PIECE_BYTES_PER_WORKER = 8 * 1024 * 1024

export interface RestoreRunInput {
  readonly store: ReadableStore
  /** Knows the index, and finds other copies of what is damaged or has been moved. */
  readonly reader: BlobReader
  readonly keys: RepositoryKeys
  readonly tree: VolumeTree
  readonly volume: Volume
  readonly target: BlockTarget
  readonly options: RestoreOptions
  readonly scope: RestoreScope
  /** Where an earlier attempt ended, and where this one notes how far it is; absent without a journal. */
  readonly resume: ResumePoint | undefined
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
  readonly #comparison: TargetComparison
  readonly #zeros: TargetZeros
  /** Absent where what is kept on the target is compared by chunk ids and not seen by a digest. */
  readonly #digests: RegionDigests | undefined
  readonly #sequential: SequentialWriter | undefined
  readonly #stats = { bytesWritten: 0, bytesZeroed: 0, bytesUnchanged: 0 }
  #nextSlice = 0
  #fetchedBytes = 0
  #bytesDone = 0
  #piecesInFlight = 0
  /** First region of this attempt, and image offset up to which the journal has been written. */
  #firstRegion = 0
  #savedTo = 0
  #comparing = 0
  #failure: unknown
  #changed: (() => void) | undefined

  constructor(input: RestoreRunInput) {
    this.#input = input
    const { workers, keys, target, tree, options, scope } = input
    const { signal } = this.#abort
    const threads = Math.max(1, workers)
    this.#inFlight = new Array<number>(threads).fill(0)
    this.#maxFetchedBytes = threads * FETCHED_BYTES_PER_WORKER
    this.#posted = this.#inFlight.map(() => Promise.resolve())
    if (options.onlyDifferent !== true) this.#digests = new RegionDigests(tree.regionBytes, keys)
    if (target.sequential) {
      this.#sequential = new SequentialWriter(target, signal, (error) => this.#fail(error))
      this.#sequential.onSection(() => this.#changed?.())
    }
    this.#pool = new WorkerPool<RestoreRequest, RestoreReply>(
      workers,
      () => ({
        kind: 'restore',
        keys,
        stop: this.#stop.buffer as SharedArrayBuffer,
        fd: target.sequential ? undefined : target.direct?.fd,
        scope,
        onlyDifferent: options.onlyDifferent === true,
        maxPieces: PIECE_BYTES_PER_WORKER / WINDOW_BYTES,
        digest: this.#digests !== undefined,
      }),
      (worker, reply) => this.#receive(worker, reply),
      (error) => this.#fail(error),
    )
    const { links } = this.#pool
    this.#comparison = new TargetComparison(
      target,
      scope,
      keys,
      (task) => links[this.#comparing++ % links.length]!.post({ type: 'compare', task }),
      signal,
    )
    this.#zeros = new TargetZeros(target, scope, this.#comparison.read, signal)
  }

  /** Restores what there is to restore. */
  async run(): Promise<RestoreStats> {
    const { signal, target, scope, options } = this.#input
    const onAbort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const timer = this.#startProgress()
    try {
      signal.throwIfAborted()
      const blank = await this.#begin()
      await this.#regions(blank)
      await this.#until(() => this.#slices.size === 0 && this.#piecesInFlight === 0)
      await this.#until(() => (this.#sequential?.pending ?? 0) === 0)
      await target.flush()
      this.#checkDigest()
      await this.#input.resume?.remove()
      options.onProgress?.(this.#progress())
      const { bytesWritten, bytesZeroed, bytesUnchanged } = this.#stats
      const bytesLeft = scope.length - bytesWritten - bytesZeroed - bytesUnchanged
      return { bytesTotal: scope.length, ...this.#stats, bytesLeft, seconds: this.#seconds() }
    } catch (error) {
      this.#fail(error)
      throw this.#failure
    } finally {
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
      await this.#pool.close()
    }
  }

  /** Prepares the target, and finds out from where on there is work; says whether the target is blank. */
  async #begin(): Promise<boolean> {
    const { target, tree, scope, resume, options } = this.#input
    const firstRegion = Math.floor(scope.offset / tree.regionBytes)
    this.#firstRegion = firstRegion
    this.#savedTo = scope.offset
    const position = (await resume?.load()) ?? 0
    const keepContent = options.onlyDifferent === true
    // From here on the target is marked as this restore's. If it begins anew, nothing may say that it had come further.
    if (position > 0) await resume?.save(0)
    const { blank, resumable = true } = await target.prepare(scope.length, { keepContent })
    const region = Math.floor(position / tree.regionBytes)
    if (blank || !resumable || region <= firstRegion) return blank
    if (!(await this.#comparison.audit(tree, firstRegion, region))) return blank
    await resume?.save(position)
    this.#firstRegion = region
    this.#savedTo = region * tree.regionBytes
    this.#bytesDone = this.#savedTo - scope.offset
    return blank
  }

  /** Goes through the regions in their order; those that come next are compared meanwhile. */
  async #regions(blank: boolean): Promise<void> {
    const { tree, scope, options } = this.#input
    const end = Math.ceil((scope.offset + scope.length) / tree.regionBytes)
    if (scope.length === 0 || this.#firstRegion >= end) return
    const compare = async (item: TreeRegion): Promise<{ item: TreeRegion; same?: Uint8Array }> => {
      if (item.kind !== RUN.stored || options.onlyDifferent !== true) return { item }
      const offset = item.region * tree.regionBytes
      return { item, same: await this.#comparison.compare(item.region, offset, item.leaf) }
    }
    // Without comparing, what is read ahead are leaves, of which the walk has enough.
    const ahead = options.onlyDifferent === true ? this.#inFlight.length + 1 : 1
    const items = tree.walk(this.#abort.signal, this.#firstRegion, end)
    for await (const { item, same } of mapConcurrently(items, ahead, compare)) {
      this.#throwIfFailed()
      if (item.kind === RUN.stored) {
        await this.#checkpoint(item.region)
        await this.#region(item.region, item.leaf, blank, same)
      } else {
        await this.#blankRegions(item.region, item.regions, blank, item.kind === RUN.unused)
      }
    }
  }

  /** Writes the journal when it is time: all before `region` is on the target then. */
  async #checkpoint(region: number): Promise<void> {
    const { resume, target, tree } = this.#input
    const offset = region * tree.regionBytes
    if (resume === undefined || offset - this.#savedTo < resume.stepBytes) return
    await this.#until(() => this.#slices.size === 0 && this.#piecesInFlight === 0)
    await target.flush()
    await resume.save(offset)
    this.#savedTo = offset
  }

  async #region(
    region: number,
    leaf: TreeNode,
    blank: boolean,
    compared: Uint8Array | undefined,
  ): Promise<void> {
    const { tree, scope } = this.#input
    const offset = region * tree.regionBytes
    const length = tree.regionLength(region)
    const same = compared ?? (this.#isWhole(region) ? undefined : runsOutside(leaf, offset, scope))
    await this.#zeroRuns(offset, leaf, same, blank && compared === undefined)
    const slices = sliceRegion(leaf, offset)
    if (this.#isWhole(region)) this.#digests?.begin(region, offset, length, slices.length, leaf.digest)
    for (const slice of slices) await this.#slice(region, slice, leaf, same)
  }

  /** Whether all of a region is restored or at least looked at, so that its digest can be compared. */
  #isWhole(region: number): boolean {
    const { tree, scope } = this.#input
    const length = tree.regionLength(region)
    return bytesInRange(scope, region * tree.regionBytes, length) === length
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
    this.#sequential?.slice(number, this.#targetOffset(offset + length))
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
    const { scope, options } = this.#input
    const isCompared = options.onlyDifferent === true
    let at = offset
    for (let i = 0; i < leaf.kinds.length; i++) {
      const length = leaf.spans[i]!
      const kind = leaf.kinds[i]!
      const isKept = kind === RUN.unused && scope.keepUnused
      if (same?.[i] === 1 && isCompared && !isKept)
        this.#stats.bytesUnchanged += restoredBytes(scope, at, length)
      else if (same?.[i] !== 1 && kind !== RUN.stored && !isKept) await this.#zero(at, length, blank)
      at += length
    }
  }

  async #zero(offset: number, length: number, blank: boolean): Promise<void> {
    const { scope, options } = this.#input
    if (options.onlyDifferent === true) {
      const { zeroed, unchanged } = await this.#zeros.zeroDifferent(offset, length)
      this.#stats.bytesZeroed += zeroed
      this.#stats.bytesUnchanged += unchanged
      return
    }
    this.#stats.bytesZeroed += restoredBytes(scope, offset, length)
    // A sequential writer emits zeros for whatever lies between pieces.
    if (!blank && this.#sequential === undefined) await this.#zeros.zero(offset, length)
  }

  async #blankRegions(first: number, regions: number, blank: boolean, isUnused: boolean): Promise<void> {
    const { tree, scope } = this.#input
    const end = first + regions
    // A stretch can be longer than what is to be lost at an interruption.
    const step = Math.ceil((this.#input.resume?.stepBytes ?? Number.POSITIVE_INFINITY) / tree.regionBytes)
    for (let region = Math.max(first, this.#firstRegion); region < end; region += step) {
      await this.#checkpoint(region)
      const offset = region * tree.regionBytes
      const to = Math.min(tree.sizeBytes, Math.min(end, region + step) * tree.regionBytes)
      if (!isUnused || !scope.keepUnused) await this.#zero(offset, to - offset, blank)
      this.#sequential?.zeros(this.#targetOffset(to))
      this.#bytesDone += bytesInRange(scope, offset, to - offset)
    }
    this.#digests?.zeroRegions(first, regions)
  }

  /** Where on the target the image is that ends at `end`, or as much of it as is restored. */
  #targetOffset(end: number): number {
    const { offset, length } = this.#input.scope
    return Math.min(Math.max(end - offset, 0), length)
  }

  #receive(worker: number, reply: RestoreReply): void {
    switch (reply.type) {
      case 'slice': {
        const slice = this.#slices.get(reply.slice)!
        this.#slices.delete(reply.slice)
        this.#inFlight[worker]!--
        this.#fetchedBytes -= slice.storedBytes
        this.#bytesDone += bytesInRange(this.#input.scope, slice.offset, slice.length)
        this.#stats.bytesWritten += reply.bytesWritten
        this.#stats.bytesUnchanged += reply.bytesUnchanged
        this.#sequential?.sliceDone(reply.slice)
        if (this.#isWhole(slice.region))
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
        this.#comparison.receive(reply.region, reply.same)
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
    const writing =
      this.#input.options.onlyDifferent === true
        ? this.#writeDifferent(offset, bytes)
        : this.#input.target.write(offset, bytes, { signal: this.#abort.signal })
    writing.then(written, (error) => this.#fail(error))
  }

  async #writeDifferent(offset: number, bytes: Uint8Array): Promise<void> {
    const into = new Uint8Array(bytes.length)
    const present = into.subarray(0, await this.#comparison.read(offset, into))
    let same = bytes.length
    for (const run of differingRuns(bytes, present)) {
      const piece = bytes.subarray(run.offset, run.offset + run.length)
      await this.#input.target.write(offset + run.offset, piece, { signal: this.#abort.signal })
      same -= run.length
    }
    // The worker that sent the piece has counted all of it as written.
    this.#stats.bytesWritten -= same
    this.#stats.bytesUnchanged += same
  }

  #checkDigest(): void {
    const { volume, tree, scope } = this.#input
    if (this.#digests === undefined || scope.length < tree.sizeBytes) return
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
      bytesTotal: this.#input.scope.length,
      bytesWritten: this.#stats.bytesWritten,
      seconds: this.#seconds(),
    }
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000
  }
}

/** 1 for each run of a region that lies outside of what is restored. */
function runsOutside(leaf: TreeNode, offset: number, scope: RestoreScope): Uint8Array {
  const outside = new Uint8Array(leaf.kinds.length)
  let at = offset
  for (let i = 0; i < outside.length; i++) {
    const length = leaf.spans[i]!
    outside[i] = bytesInRange(scope, at, length) === 0 ? 1 : 0
    at += length
  }
  return outside
}
