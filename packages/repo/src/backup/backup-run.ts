import {
  assert,
  type BlockSource,
  CODEC,
  createHasher,
  fromTransported,
  type NodeId,
  nodeIdFrom,
  type PackId,
  PlatterError,
  type SessionId,
} from '@platter/core'
import type { BackupOptions, BackupProgress, BackupStats } from '../api/backup-types.ts'
import type { ByteRange } from '../api/snapshot-types.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import { MAX_IMAGE_BYTES } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import { packCipher } from '../format/pack-cipher.ts'
import { saltOfHeader } from '../format/pack-file.ts'
import { encodeNode, RUN, type RunKind } from '../format/tree-node.ts'
import type { Claims } from '../index/load-claims.ts'
import { corruptBlob } from '../pack/blob-reader.ts'
import { PackMemory } from '../pack/pack-memory.ts'
import { PackUploader, verifiedEntries } from '../pack/pack-uploader.ts'
import { SmallPacks } from '../pack/small-packs.ts'
import { ImageDigest } from '../tree/image-digest.ts'
import { TreeBuilder } from '../tree/tree-builder.ts'
import type { JobData } from '../workers/jobs.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import { assertBadRangeLimit, type EncodingContext } from './backup.ts'
import type { BackupReply, BackupRequest, FinishedPack } from './backup-protocol.ts'
import { PieceFeeder, readUntilFull } from './piece-feeder.ts'
import { planRegions } from './plan-regions.ts'
import { addRange } from './read-around.ts'
import { PIECE_BYTES } from './region-encoder.ts'
import type { RegionResult, RegionTask } from './region-task.ts'
import type { KeptRegion, UnchangedRegions } from './unchanged-regions.ts'

/** Regions given to a worker at once, so that it never waits for the next. */
const TASKS_PER_WORKER = 2
/** Memory for pieces of all workers together while a stream is read: a region each, so that all are busy. */
const STREAM_BYTES = 96 * 1024 * 1024
/** Memory for pieces of a worker while another source is read by the main thread. */
const FEED_BYTES = 4 * 1024 * 1024
const COUNTERS = 4
const DEFAULT_CHECKPOINT_BYTES = 16 * 1024 ** 3
const DEFAULT_CHECKPOINT_SECONDS = 1800

export interface BackupRunInput {
  readonly context: EncodingContext
  readonly source: BlockSource
  readonly options: BackupOptions
  /** The session under which is stored what is new. */
  readonly session: SessionId
  /** Absent where nothing is committed on the way. */
  readonly checkpoints?: Checkpoints
  readonly claims: Claims
  /** 0 works in the calling thread. */
  readonly workers: number
  readonly signal: AbortSignal
  /** When the backup began, by `performance.now()`. */
  readonly started: number
  /** What need not be read. */
  readonly unchanged?: UnchangedRegions
  /** Given whatever is new, which then goes into no pack; for a repair, which needs only some of it. */
  readonly take?: (entry: BlobEntry, stored: Uint8Array) => void
}

/** Commits what a run has stored so far. */
export interface Checkpoints {
  /** Whether another one may be committed. */
  readonly canCommit: () => boolean
  /**
   * Commits the beginning of the image, all of which is durable.
   *
   * @returns the session under which the run goes on; undefined when there are no more checkpoints, and it stays.
   */
  readonly commit: (image: EncodedImage) => Promise<SessionId | undefined>
}

/** An image, stored but not committed yet. */
export interface EncodedImage {
  readonly sizeBytes: number
  readonly root: NodeId | undefined
  readonly digest: string
  readonly badRanges: readonly ByteRange[]
  readonly stats: Omit<BackupStats, 'seconds'>
}

/** A place in the order of the image: blank regions, or a region that is encoded somewhere. */
type Slot =
  | { readonly kind: RunKind; readonly regions: number; readonly bytes: number }
  | { result: OrderedResult | undefined }

/** What the tree needs of a region. */
type OrderedResult = Omit<RegionResult, 'counts'>

/**
 * The main thread's part of a backup: hands regions to workers, stores the packs they send, and builds the volume
 * tree from their results in the image's order.
 */
export class BackupRun {
  readonly #input: BackupRunInput
  readonly #pool: WorkerPool<BackupRequest, BackupReply>
  readonly #uploader: PackUploader
  readonly #nodes: SmallPacks
  readonly #leftovers: SmallPacks
  readonly #tree: TreeBuilder
  readonly #digest: ImageDigest
  readonly #feeders: readonly PieceFeeder[]
  readonly #counters: readonly Float64Array[]
  readonly #packMemory: PackMemory
  readonly #stop = new Int32Array(new SharedArrayBuffer(4))
  readonly #abort = new AbortController()
  readonly #inFlight: number[]
  readonly #slots: Slot[] = []
  readonly #slotOfRegion = new Map<number, { result: RegionResult | undefined }>()
  readonly #badRanges: ByteRange[] = []
  readonly #totals = {
    bytesRead: 0,
    bytesHole: 0,
    bytesUnused: 0,
    bytesNew: 0,
    chunksNew: 0,
    chunksKnown: 0,
    bytesReused: 0,
  }
  #sizeBytes = 0
  /** Image bytes that the tree covers so far. */
  #bytesCovered = 0
  /** Image bytes dealt with that no worker was given. */
  #unreadBytesDone = 0
  #packsInFlight = 0
  #workersFlushed = 0
  #checkpointed = { bytesStored: 0, millis: performance.now() }
  #failure: unknown
  #changed: (() => void) | undefined

  constructor(input: BackupRunInput) {
    this.#input = input
    const { context, session, source, options, workers } = input
    const { keys, config } = context
    this.#uploader = new PackUploader(context, keys.pack, session, this.#abort.signal)
    this.#nodes = new SmallPacks(this.#uploader, keys.pack, config.packBytes, context.random)
    this.#leftovers = new SmallPacks(this.#uploader, keys.pack, config.packBytes, context.random)
    const nodeHasher = createHasher(keys.nodeId)
    this.#tree = new TreeBuilder((encoded) => {
      const id = nodeHasher.hash(encoded)
      this.#addNode(id, input.claims.table.claim(id) ? encoded : undefined)
      return id
    })
    this.#digest = new ImageDigest(keys.imageDigest)
    const threads = Math.max(1, workers)
    this.#inFlight = new Array<number>(threads).fill(0)
    this.#counters = this.#inFlight.map(() => new Float64Array(new SharedArrayBuffer(COUNTERS * 8)))
    this.#packMemory = new PackMemory(threads, (worker, memory) =>
      this.#pool.links[worker]!.post({ type: 'memory', memory }, [memory]),
    )
    this.#pool = new WorkerPool<BackupRequest, BackupReply>(
      workers,
      (i) => this.#workerData(i),
      (worker, reply) => this.#receive(worker, reply),
      (error) => this.#fail(error),
    )
    const feedBytes = source.sequential ? Math.max(FEED_BYTES, STREAM_BYTES / threads) : FEED_BYTES
    const maxPieces = Math.floor(feedBytes / PIECE_BYTES)
    const recordErrors = options.onReadError === 'record'
    this.#feeders = this.#pool.links.map(
      ({ post }) => new PieceFeeder({ source, post, maxPieces, recordErrors, signal: this.#abort.signal }),
    )
  }

  /** Reads, encodes and stores the whole image; nothing is visible yet when it returns. */
  async encodeImage(): Promise<EncodedImage> {
    const { signal, source } = this.#input
    const onAbort = (): void => this.#fail(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    const timer = this.#startProgress()
    try {
      signal.throwIfAborted()
      if (source.sequential) await this.#stream()
      else await this.#regions()
      return await this.#finish()
    } catch (error) {
      this.#fail(error)
      if (!isSuspect(this.#failure)) await this.#uploader.salvage()
      throw this.#failure
    } finally {
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
      await this.#input.unchanged?.close()
      await this.#pool.close()
    }
  }

  /** Reports that all is stored, and only the commit left. */
  reportCommit(sizeBytes: number): void {
    this.#input.options.onProgress?.({
      ...this.#progress('committing'),
      bytesDone: sizeBytes,
      bytesTotal: sizeBytes,
    })
  }

  async #regions(): Promise<void> {
    const { source, context } = this.#input
    this.#sizeBytes = source.info.sizeBytes ?? 0
    const extents = source.extents({ signal: this.#abort.signal })
    for await (const item of planRegions(extents, this.#sizeBytes, context.config.regionBytes)) {
      if (item.type === 'blank') {
        this.#slots.push(item)
        this.#unreadBytesDone += item.bytes
        this.#drainSlots()
        continue
      }
      await this.#checkpointIfDue()
      const kept = await this.#input.unchanged?.take(item.task)
      if (kept !== undefined) {
        this.#keep(item.task, kept)
        continue
      }
      const worker = await this.#freeWorker()
      this.#assign(worker, item.task)
      if (source.direct === undefined)
        this.#feeders[worker]!.feed(item.task).catch((error) => this.#fail(error))
    }
    await this.#until(() => this.#slots.length === 0)
  }

  /** A stream shows its end only when it is reached, so each region is started with its first piece. */
  async #stream(): Promise<void> {
    const { source, context } = this.#input
    const { regionBytes } = context.config
    for (let region = 0, ended = false; !ended; region++) {
      await this.#checkpointIfDue()
      const worker = await this.#freeWorker()
      const feeder = this.#feeders[worker]!
      for (let at = 0; at < regionBytes && !ended; at += PIECE_BYTES) {
        const memory = await feeder.memory()
        const into = new Uint8Array(memory, 0, Math.min(PIECE_BYTES, regionBytes - at))
        const bytes = await readUntilFull(source, region * regionBytes + at, into, this.#abort.signal)
        ended = bytes < into.length
        this.#sizeBytes += bytes
        if (this.#sizeBytes > MAX_IMAGE_BYTES)
          throw new PlatterError('ERR_LIMIT_EXCEEDED', 'The stream is too long.')
        if (at === 0 && bytes === 0) feeder.giveBack(memory)
        else {
          if (at === 0) this.#assign(worker, streamTask(region, regionBytes))
          feeder.send(memory, bytes, [])
        }
      }
    }
    await this.#until(() => this.#slots.length === 0)
  }

  /**
   * Commits what there is, when that is worth it. The workers end what they have been given and hand over their packs,
   * so that the tree so far is that of the image's beginning, and all of it can be made durable.
   */
  async #checkpointIfDue(): Promise<void> {
    const { checkpoints, options } = this.#input
    const { checkpointBytes = DEFAULT_CHECKPOINT_BYTES, checkpointSeconds = DEFAULT_CHECKPOINT_SECONDS } =
      options
    const bytes = this.#uploader.bytesStored - this.#checkpointed.bytesStored
    const seconds = (performance.now() - this.#checkpointed.millis) / 1000
    const due = bytes >= checkpointBytes || (bytes > 0 && seconds >= checkpointSeconds)
    if (!due || checkpoints === undefined || !checkpoints.canCommit()) return
    await this.#flushWorkers()
    assert(this.#slots.length === 0, 'a region is under way although all workers have ended theirs')
    const image = await this.#encoded(this.#tree.copy(), this.#digest.copy(), this.#bytesCovered)
    const next = await checkpoints.commit(image)
    if (next !== undefined) this.#uploader.continueAs(next)
    this.#checkpointed = { bytesStored: this.#uploader.bytesStored, millis: performance.now() }
  }

  async #finish(): Promise<EncodedImage> {
    await this.#flushWorkers()
    assert(
      this.#bytesCovered === this.#sizeBytes,
      `the tree covers ${this.#bytesCovered} of ${this.#sizeBytes} bytes`,
    )
    return await this.#encoded(this.#tree, this.#digest, this.#sizeBytes)
  }

  async #flushWorkers(): Promise<void> {
    this.#workersFlushed = 0
    for (const { post } of this.#pool.links) post({ type: 'flush' })
    await this.#until(() => this.#workersFlushed === this.#pool.links.length && this.#packsInFlight === 0)
  }

  /** Makes an image durable whose regions have all been encoded. */
  async #encoded(tree: TreeBuilder, digest: ImageDigest, sizeBytes: number): Promise<EncodedImage> {
    const root = tree.finish((kind) => blankLeaf(kind, sizeBytes))
    this.#leftovers.flush()
    this.#nodes.flush()
    await this.#uploader.finish()
    this.#throwIfFailed()
    const { bytesReused, bytesUnused, ...read } = this.#totals
    const stats = {
      ...read,
      ...(bytesUnused === 0 ? {} : { bytesUnused }),
      ...(bytesReused === 0 ? {} : { bytesReused }),
    }
    return {
      sizeBytes,
      root: root === undefined ? undefined : nodeIdFrom(root),
      digest: digest.finish(sizeBytes),
      badRanges: [...this.#badRanges],
      stats: { ...stats, bytesTotal: sizeBytes, bytesStored: this.#uploader.bytesStored },
    }
  }

  #workerData(i: number): JobData {
    const { context, source, options, claims } = this.#input
    const { config, keys, codec, verifyOneIn } = context
    return {
      kind: 'backup',
      settings: { chunker: config.chunker, regionBytes: config.regionBytes, keys, codec, verifyOneIn },
      packBytes: config.packBytes,
      claimSegments: claims.segments,
      stop: this.#stop.buffer as SharedArrayBuffer,
      counters: this.#counters[i]!.buffer as SharedArrayBuffer,
      fd: source.sequential ? undefined : source.direct?.fd,
      onReadError: options.onReadError ?? 'stop',
      sectorBytes: source.info.logicalSectorBytes,
    }
  }

  /** Puts a region of an earlier snapshot in its place. */
  #keep({ region, length }: RegionTask, kept: KeptRegion): void {
    this.#unreadBytesDone += length
    this.#totals.bytesReused += length
    if (kept.kind === RUN.stored) {
      const { nodeId, digest } = kept
      this.#totals.bytesHole += kept.holeBytes
      this.#totals.bytesUnused += kept.unusedBytes
      this.#totals.chunksKnown += kept.chunks
      const result = { region, length, blank: undefined, nodeId, newNode: undefined, digest, badRanges: [] }
      this.#slots.push({ result })
    } else this.#slots.push({ kind: kept.kind, regions: 1, bytes: length })
    this.#drainSlots()
  }

  #assign(worker: number, task: RegionTask): void {
    const slot = { result: undefined }
    this.#slots.push(slot)
    this.#slotOfRegion.set(task.region, slot)
    this.#inFlight[worker]!++
    this.#pool.links[worker]!.post({ type: 'region', task })
  }

  #receive(worker: number, reply: BackupReply): void {
    switch (reply.type) {
      case 'region':
        this.#inFlight[worker]!--
        this.#takeResult(reply.result)
        break
      case 'memory-wanted':
        this.#packMemory.request(worker, reply.bytes)
        break
      case 'pack':
        this.#packsInFlight++
        this.#storePack(reply.pack).then(
          () => {
            this.#packsInFlight--
            this.#changed?.()
          },
          (error) => this.#fail(error),
        )
        break
      case 'piece-memory':
        this.#feeders[worker]!.giveBack(reply.memory)
        break
      case 'flushed':
        this.#workersFlushed++
        break
      case 'error':
        this.#fail(fromTransported(reply.error))
        break
    }
    this.#changed?.()
  }

  #takeResult(result: RegionResult): void {
    this.#slotOfRegion.get(result.region)!.result = result
    this.#slotOfRegion.delete(result.region)
    const { counts } = result
    this.#totals.bytesRead += counts.bytesRead
    this.#totals.bytesHole += counts.bytesHole
    this.#totals.bytesUnused += counts.bytesUnused
    this.#totals.bytesNew += counts.bytesNew
    this.#totals.chunksNew += counts.chunksNew
    this.#totals.chunksKnown += counts.chunksKnown
    this.#drainSlots()
    const segment = this.#input.claims.grow()
    if (segment !== undefined) for (const { post } of this.#pool.links) post({ type: 'claims', segment })
  }

  /** Moves what is complete at the head of the image's order into tree and digest. */
  #drainSlots(): void {
    for (let slot = this.#slots[0]; slot !== undefined; slot = this.#slots[0]) {
      if (!('result' in slot)) {
        this.#bytesCovered += slot.bytes
        this.#tree.blank(slot.kind, slot.regions)
        this.#digest.zeroRegions(slot.regions)
        this.#totals[slot.kind === RUN.hole ? 'bytesHole' : 'bytesUnused'] += slot.bytes
      } else {
        if (slot.result === undefined) return
        this.#takeInOrder(slot.result)
      }
      this.#slots.shift()
    }
  }

  #takeInOrder({ length, blank, nodeId, newNode, digest, badRanges }: OrderedResult): void {
    this.#bytesCovered += length
    if (blank !== undefined) {
      this.#tree.blank(blank, 1)
    } else {
      this.#addNode(nodeId!, newNode)
      this.#tree.leaf(nodeId!)
    }
    this.#digest.region(digest)
    for (const { offset, length } of badRanges) addRange(this.#badRanges, offset, length)
    assertBadRangeLimit(this.#badRanges.length)
  }

  #addNode(id: Uint8Array, encoded: Uint8Array | undefined): void {
    if (encoded === undefined) return
    const { take } = this.#input
    const sizes = { offset: 0, storedBytes: encoded.length, rawBytes: encoded.length }
    if (take !== undefined) take({ id, type: BLOB_TYPE.node, codec: CODEC.none, ...sizes }, encoded)
    else this.#nodes.append(id, BLOB_TYPE.node, CODEC.none, encoded, encoded.length)
  }

  async #storePack(pack: FinishedPack): Promise<void> {
    const file = new Uint8Array(pack.memory, 0, pack.fileBytes)
    const { take } = this.#input
    if (take !== undefined) {
      this.#takeOver(pack.id, file, take)
      this.#packMemory.release(pack.memory)
      return
    }
    if (pack.last && pack.fileBytes < this.#input.context.config.packBytes / 2) {
      this.#takeOver(pack.id, file, ({ id, type, codec, rawBytes }, stored) =>
        this.#leftovers.append(id, type, codec, stored, rawBytes),
      )
      this.#packMemory.release(pack.memory)
      return
    }
    await this.#uploader.put(pack.id, file)
    this.#packMemory.release(pack.memory)
  }

  /** Hands on all blobs of a pack as their codecs made them; another pack seals them under its own key. */
  #takeOver(id: PackId, file: Uint8Array, take: (entry: BlobEntry, stored: Uint8Array) => void): void {
    const packKey = this.#input.context.keys.pack
    const cipher = packCipher(packKey, saltOfHeader(file))
    for (const entry of verifiedEntries(id, file, packKey)) {
      const stored = cipher.openBlob(entry, file.subarray(entry.offset, entry.offset + entry.storedBytes))
      if (stored === undefined) throw corruptBlob(entry.id, packName(id), entry.offset)
      take(entry, stored)
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
    this.#failure ??= error ?? new PlatterError('ERR_INTERNAL', 'A backup failed without saying why.')
    Atomics.store(this.#stop, 0, 1)
    this.#abort.abort(this.#failure)
    for (const feeder of this.#feeders ?? []) feeder.stop()
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
        onProgress(this.#progress('reading'))
      } catch (error) {
        // Thrown out of a timer it would end the process.
        this.#fail(error)
      }
    }, progressMillis)
  }

  #progress(phase: BackupProgress['phase']): BackupProgress {
    const sum = (i: number): number => this.#counters.reduce((total, counters) => total + counters[i]!, 0)
    return {
      phase,
      bytesDone: sum(0) + this.#unreadBytesDone,
      bytesTotal: this.#input.source.info.sizeBytes,
      bytesRead: sum(1),
      bytesNew: sum(2),
      bytesKnown: sum(3),
      bytesStored: this.#uploader.bytesStored,
      seconds: (performance.now() - this.#input.started) / 1000,
    }
  }
}

/** After signs of faulty memory the packs stored before may be damaged too, and no later backup may rely on them. */
function isSuspect(failure: unknown): boolean {
  return failure instanceof PlatterError && /^ERR_(CORRUPT_\w+|INTERNAL)$/.test(failure.code)
}

function streamTask(region: number, regionBytes: number): RegionTask {
  const offset = region * regionBytes
  return { region, offset, length: regionBytes, ranges: [{ offset, length: regionBytes, kind: RUN.stored }] }
}

function blankLeaf(kind: RunKind, bytes: number): Uint8Array {
  return encodeNode({
    level: 0,
    kinds: Uint8Array.of(kind),
    spans: Uint32Array.of(bytes),
    ids: new Uint8Array(0),
  })
}
