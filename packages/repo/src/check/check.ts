import {
  fromTransported,
  PlatterError,
  type ReadableStore,
  type RecordSealer,
  type SessionId,
  type SnapshotId,
} from '@platter/core'
import type { CheckOptions, CheckProgress, CheckReport } from '../api/check-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { decodeIndexSegment, type IndexSegment } from '../format/index-segment.ts'
import { MAX_INDEX_SEGMENT_BYTES, MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import {
  indexSessionOfName,
  PACKS_PREFIX,
  packIdOfName,
  packName,
  snapshotName,
} from '../format/object-names.ts'
import {
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  readPackDirectory,
  readPackTrailer,
} from '../format/pack-file.ts'
import { type GcState, readGcState } from '../gc/gc-state.ts'
import { SessionTrust } from '../gc/session-trust.ts'
import { ChunkIndex } from '../index/chunk-index.ts'
import { listIndexSegments } from '../index/load-index.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'
import { WorkerPool, workerCount } from '../workers/worker-pool.ts'
import type { CheckReply, CheckRequest } from './check-protocol.ts'
import { DAMAGE } from './damage.ts'
import { Findings } from './findings.ts'
import { TreeChecker } from './tree-checker.ts'

const MAX_TRIES = 3
/** Store requests under way at once. */
const CONCURRENCY = 8

/** What a check needs of an open repository. */
export interface CheckContext {
  readonly store: ReadableStore
  readonly records: RecordSealer
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  readonly catalog: SnapshotCatalog
}

/** Checks a repository; see `Repository.check`. */
export async function check(context: CheckContext, options: CheckOptions): Promise<CheckReport> {
  return await new Check(context, options).run()
}

class Check {
  readonly #context: CheckContext
  readonly #options: CheckOptions
  readonly #signal: AbortSignal
  readonly #fraction: number
  #findings = new Findings()
  readonly #started = performance.now()
  /** Packs of the index, by number, that only a session ended by a prune lists. */
  readonly #fencedPacks = new Set<number>()
  /** Packs of the index, by number, that are not there. */
  readonly #absentPacks = new Set<number>()
  #packsRead = 0
  #bytesRead = 0
  #lastProgress = 0

  constructor(context: CheckContext, options: CheckOptions) {
    this.#context = context
    this.#options = options
    this.#signal = options.signal ?? new AbortController().signal
    const { readData = false } = options
    this.#fraction = typeof readData === 'boolean' ? Number(readData) : readData.fraction
    if (!(this.#fraction >= 0 && this.#fraction <= 1)) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        `The fraction to read must be from 0 to 1, not ${this.#fraction}.`,
      )
    }
  }

  /** A prune that ran meanwhile makes what was listed before seem damaged, so it is looked at again. */
  async run(): Promise<CheckReport> {
    const { store } = this.#context
    for (let tries = 1; ; tries++) {
      const before = await readGcState(store, this.#signal)
      const report = await this.#look()
      if (report.findings.length === 0 || tries === MAX_TRIES) return report
      const after = await readGcState(store, this.#signal)
      if (sameState(before, after)) return report
      this.#findings = new Findings()
    }
  }

  async #look(): Promise<CheckReport> {
    const snapshots = await this.#checkSnapshots()
    const index = await this.#checkIndex()
    const packSizes = await this.#checkPacks(index)
    if (this.#fraction > 0) await this.#checkData(packSizes)
    const chunks = await this.#checkTrees(snapshots, index)
    return {
      findings: this.#findings.list(),
      snapshots: snapshots.length,
      packs: packSizes.size,
      chunks,
      packsRead: this.#packsRead,
      bytesRead: this.#bytesRead,
      seconds: (performance.now() - this.#started) / 1000,
    }
  }

  async #checkSnapshots(): Promise<Snapshot[]> {
    const { catalog } = this.#context
    const ids = await catalog.ids(this.#signal)
    const read = async (id: SnapshotId): Promise<Snapshot | undefined> => {
      try {
        return await catalog.find(id, this.#signal)
      } catch (error) {
        this.#report(error, snapshotName(id), id)
        return undefined
      }
    }
    const snapshots: Snapshot[] = []
    for await (const snapshot of mapConcurrently(ids, CONCURRENCY, read)) {
      if (snapshot !== undefined) snapshots.push(snapshot)
      this.#progress('snapshots', snapshots.length, ids.length)
    }
    return snapshots
  }

  async #checkIndex(): Promise<ChunkIndex> {
    const { store, records } = this.#context
    const stats = await listIndexSegments(this.#context, this.#signal)
    const read = async ({ name }: { name: string }): Promise<IndexSegment | undefined> => {
      try {
        const bytes = await store.get(name, { maxBytes: MAX_INDEX_SEGMENT_BYTES, signal: this.#signal })
        const segment = decodeIndexSegment(name, bytes, records)
        // Each entry is decoded once here, so that building the index cannot fail on one of them.
        for (let i = 0; i < segment.entryCount; i++) segment.entry(i)
        return segment
      } catch (error) {
        this.#report(error, name)
        return undefined
      }
    }
    const trust = await SessionTrust.list(this.#context, this.#signal)
    const segments: IndexSegment[] = []
    let done = 0
    let packs = 0
    this.#fencedPacks.clear()
    this.#absentPacks.clear()
    for await (const segment of mapConcurrently(stats, CONCURRENCY, read)) {
      const session = indexSessionOfName(stats[done]!.name)!
      this.#progress('index', ++done, stats.length)
      if (segment === undefined) continue
      segments.push(segment)
      const isFenced = await this.#isFenced(trust, session)
      for (const _ of segment.packs) {
        if (isFenced) this.#fencedPacks.add(packs)
        packs++
      }
    }
    return new ChunkIndex(segments)
  }

  async #isFenced(trust: SessionTrust, session: SessionId): Promise<boolean> {
    try {
      return (await trust.standing(session, this.#signal)) === 'fenced'
    } catch (error) {
      this.#report(error, snapshotName(session))
      return false
    }
  }

  /** Compares the index with the packs that are there, and with their directories. */
  async #checkPacks(index: ChunkIndex): Promise<Map<string, number>> {
    const sizes = new Map<string, number>()
    for await (const { name, sizeBytes } of this.#context.store.list(PACKS_PREFIX, {
      signal: this.#signal,
    })) {
      if (packIdOfName(name) !== undefined) sizes.set(name, sizeBytes)
    }
    const directories = new Map<string, Set<string>>()
    const read = async (name: string): Promise<void> => {
      try {
        directories.set(name, await this.#readDirectory(name, sizes.get(name)!))
      } catch (error) {
        this.#report(error, name)
      }
    }
    let done = 0
    for await (const _ of mapConcurrently(sizes.keys(), CONCURRENCY, read))
      this.#progress('packs', ++done, sizes.size)
    for (const [i, { id }] of index.packs.entries()) {
      const object = packName(id)
      if (sizes.has(object)) continue
      this.#absentPacks.add(i)
      // A writer that a prune ended may list, late, packs that are long gone. That alone harms nobody.
      if (this.#fencedPacks.has(i)) continue
      const message = `The pack ${object} is missing; the index names it.`
      this.#findings.add({ key: object, code: 'ERR_CORRUPT_PACK', message, object })
    }
    this.#compareEntries(index, directories)
    return sizes
  }

  async #readDirectory(name: string, sizeBytes: number): Promise<Set<string>> {
    const { store } = this.#context
    const options = { signal: this.#signal }
    const trailerAt = Math.max(0, sizeBytes - PACK_TRAILER_BYTES)
    const trailer = readPackTrailer(
      await store.getRange(name, trailerAt, sizeBytes - trailerAt, options),
      sizeBytes,
      name,
    )
    const header = await store.getRange(name, 0, PACK_HEADER_BYTES, options)
    const { directoryOffset } = trailer
    const end = await store.getRange(name, directoryOffset, sizeBytes - directoryOffset, options)
    return new Set(readPackDirectory(header, end, sizeBytes, name).map((entry) => entryKey(entry)))
  }

  #compareEntries(index: ChunkIndex, directories: ReadonlyMap<string, ReadonlySet<string>>): void {
    for (let i = 0; i < index.size; i++) {
      const place = index.location(i)
      const object = packName(index.packs[place.pack]!.id)
      const directory = directories.get(object)
      if (directory === undefined || directory.has(entryKey({ ...place, id: index.id(i) }))) continue
      const message = `The index places a blob in ${object} where the pack's own directory does not.`
      this.#findings.add({ key: object, code: 'ERR_CORRUPT_INDEX', message, object })
    }
  }

  /** Reads packs whole and has workers verify every blob in them. */
  async #checkData(packSizes: ReadonlyMap<string, number>): Promise<void> {
    const names = [...packSizes.keys()].filter(() => this.#fraction === 1 || Math.random() < this.#fraction)
    const workers = workerCount(this.#options.workers)
    const waiting = new Map<string, { resolve: () => void; reject: (error: unknown) => void }>()
    let failure: { readonly error: unknown } | undefined
    const failAll = (error: unknown): void => {
      failure ??= { error }
      for (const { reject } of waiting.values()) reject(error)
    }
    await using pool = new WorkerPool<CheckRequest, CheckReply>(
      workers,
      () => ({ kind: 'check', keys: this.#context.keys }),
      (_, reply) => {
        if (reply.type === 'error') {
          failAll(fromTransported(reply.error))
          return
        }
        for (const { code, message, blob } of reply.problems) {
          this.#findings.add({ key: blob ?? reply.name, code, message, object: reply.name })
        }
        waiting.get(reply.name)?.resolve()
        waiting.delete(reply.name)
      },
      failAll,
    )
    let next = 0
    const verify = async (name: string): Promise<void> => {
      const file = await this.#readPack(name)
      if (file === undefined) return
      // Nobody would answer for what is posted to a worker that has ended.
      if (failure !== undefined) throw failure.error
      const link = pool.links[next++ % pool.links.length]!
      await new Promise<void>((resolve, reject) => {
        waiting.set(name, { resolve, reject })
        link.post({ name, file }, [file.buffer])
      })
    }
    let done = 0
    for await (const _ of mapConcurrently(names, pool.links.length + 1, verify)) {
      this.#progress('data', ++done, names.length)
    }
  }

  async #readPack(name: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      const file = await this.#context.store.get(name, {
        maxBytes: MAX_PACK_FILE_BYTES,
        signal: this.#signal,
      })
      this.#packsRead++
      this.#bytesRead += file.length
      return file
    } catch (error) {
      this.#report(error, name)
      return undefined
    }
  }

  async #checkTrees(snapshots: readonly Snapshot[], index: ChunkIndex): Promise<number> {
    const { store, keys, config } = this.#context
    const checker = new TreeChecker(
      store,
      index,
      keys,
      config.regionBytes,
      this.#findings,
      this.#signal,
      this.#absentPacks,
    )
    let done = 0
    for (const snapshot of snapshots) {
      await checker.check(snapshot)
      this.#progress('trees', ++done, snapshots.length)
    }
    return checker.chunks
  }

  /** Turns damage into a finding; inability to read, and being aborted, are thrown. */
  #report(error: unknown, object: string, snapshot?: SnapshotId): void {
    this.#signal.throwIfAborted()
    const isDamage = error instanceof PlatterError && DAMAGE.has(error.code)
    if (!isDamage) throw error
    this.#findings.add({ key: object, code: error.code, message: error.message, object }, snapshot)
  }

  #progress(phase: CheckProgress['phase'], done: number, total: number): void {
    const { onProgress, progressMillis = 100 } = this.#options
    const now = performance.now()
    if (onProgress === undefined || (now - this.#lastProgress < progressMillis && done < total)) return
    this.#lastProgress = now
    onProgress({ phase, done, total, bytesRead: this.#bytesRead })
  }
}

function entryKey(entry: {
  readonly id: Uint8Array
  readonly offset: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly codec: number
  readonly type: number
}): string {
  const { id, offset, storedBytes, rawBytes, codec, type } = entry
  return `${Buffer.from(id).toString('latin1')} ${offset} ${storedBytes} ${rawBytes} ${codec} ${type}`
}

function sameState(a: GcState, b: GcState): boolean {
  return a.newest === b.newest && a.newestSwept === b.newestSwept && a.idle === b.idle
}
