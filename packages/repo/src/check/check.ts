import {
  type PackId,
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
import { MAX_INDEX_SEGMENT_BYTES, MAX_KEY_SLOTS } from '../format/limits.ts'
import {
  indexSessionOfName,
  KEYS_PREFIX,
  keySlotName,
  packName,
  snapshotName,
} from '../format/object-names.ts'
import { type GcState, readGcState } from '../gc/gc-state.ts'
import { SessionTrust } from '../gc/session-trust.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { ChunkIndexBuilder } from '../index/chunk-index-builder.ts'
import { IndexComparison } from '../index/index-comparison.ts'
import { listIndexSegments, maxEntriesIn } from '../index/load-index.ts'
import { loadKeySlots } from '../keys/load-slots.ts'
import { BlobReader } from '../pack/blob-reader.ts'
import { listPacks, listQuarantined } from '../pack/list-packs.ts'
import { fetchPackDirectory } from '../pack/pack-directory.ts'
import { restore } from '../restore/restore.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'
import { workerCount } from '../workers/worker-pool.ts'
import { checkRecords } from './check-records.ts'
import { choosePacks } from './choose-packs.ts'
import { DAMAGE } from './damage.ts'
import { Findings } from './findings.ts'
import { NullTarget } from './null-target.ts'
import { findOutdatedMarks } from './outdated-marks.ts'
import { PackVerifiers } from './pack-verifiers.ts'
import { TreeChecker } from './tree-checker.ts'
import { verifyPacks } from './verify-packs.ts'

/** What a drill finds out about the snapshot; all else says that it could not be tried. */
const DRILL_FAILURES: ReadonlySet<string> = new Set([...DAMAGE, 'ERR_DIGEST_MISMATCH'])
/** Times a repository is looked at while prunes run. */
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
  /** Whether a pack's data is to be read; undefined when no data is. */
  readonly #isChosen: ((id: PackId) => boolean) | undefined
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
    this.#isChosen = choosePacks(options.readData ?? false)
  }

  /** A prune that ran meanwhile makes what was listed before seem damaged, so it is looked at again. */
  async run(): Promise<CheckReport> {
    const { store, keys } = this.#context
    // They start while everything else is looked at.
    await using verifiers =
      this.#isChosen === undefined ? undefined : new PackVerifiers(keys, workerCount(this.#options.workers))
    for (let tries = 1; ; tries++) {
      const before = await readGcState(store, this.#signal)
      const report = await this.#look(verifiers)
      if (report.findings.length === 0 || tries === MAX_TRIES) return report
      const after = await readGcState(store, this.#signal)
      if (sameState(before, after)) return report
      this.#findings = new Findings()
      this.#packsRead = 0
      this.#bytesRead = 0
    }
  }

  async #look(verifiers: PackVerifiers | undefined): Promise<CheckReport> {
    const snapshots = await this.#checkSnapshots()
    await checkRecords(this.#context, this.#signal, (error, object) => this.#report(error, object))
    await this.#checkKeySlots()
    const index = await this.#checkIndex()
    const packSizes = await this.#checkPacks(index)
    if (verifiers !== undefined) await this.#checkData(packSizes, verifiers)
    const chunks = await this.#checkTrees(snapshots, index)
    if (this.#options.readData === true) {
      const ids = snapshots.map(({ id }) => id)
      await findOutdatedMarks(this.#context, ids, this.#findings, this.#signal)
    }
    const { drill } = this.#options
    const drilled = drill === undefined ? undefined : await this.#drill(drill, index)
    return {
      findings: this.#findings.list(),
      snapshots: snapshots.length,
      packs: packSizes.size,
      chunks,
      packsRead: this.#packsRead,
      bytesRead: this.#bytesRead,
      drilled,
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

  async #checkKeySlots(): Promise<void> {
    const { store, config } = this.#context
    if (config.crypto === 'none') return
    try {
      const slots = await loadKeySlots(store, config.id, { signal: this.#signal })
      for (const entry of slots)
        if (entry.slot === undefined) this.#report(entry.problem, keySlotName(entry.id))
      if (slots.length > MAX_KEY_SLOTS) this.#report(tooManyKeySlots(slots.length), KEYS_PREFIX)
    } catch (error) {
      this.#report(error, KEYS_PREFIX)
    }
  }

  async #checkIndex(): Promise<ChunkIndex> {
    const { store, records } = this.#context
    const stats = await listIndexSegments(this.#context, this.#signal)
    const read = async ({ name }: { name: string }): Promise<IndexSegment | undefined> => {
      try {
        const bytes = await store.get(name, { maxBytes: MAX_INDEX_SEGMENT_BYTES, signal: this.#signal })
        return decodeIndexSegment(name, bytes, records)
      } catch (error) {
        this.#report(error, name)
        return undefined
      }
    }
    const trust = await SessionTrust.list(this.#context, this.#signal)
    const builder = new ChunkIndexBuilder(maxEntriesIn(stats))
    let done = 0
    let packs = 0
    this.#fencedPacks.clear()
    this.#absentPacks.clear()
    for await (const segment of mapConcurrently(stats, CONCURRENCY, read)) {
      const { name } = stats[done]!
      this.#progress('index', ++done, stats.length)
      if (segment === undefined || !this.#addSegment(builder, segment, name)) continue
      const session = indexSessionOfName(name)!
      const isFenced = await this.#isFenced(trust, session)
      for (const _ of segment.packs) {
        if (isFenced) this.#fencedPacks.add(packs)
        packs++
      }
    }
    return builder.build()
  }

  /** Adds a segment to the index, unless one of its entries is impossible. */
  #addSegment(builder: ChunkIndexBuilder, segment: IndexSegment, name: string): boolean {
    try {
      builder.add(segment)
      return true
    } catch (error) {
      this.#report(error, name)
      return false
    }
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
  async #checkPacks(index: ChunkIndex): Promise<Map<PackId, number>> {
    const { store, keys } = this.#context
    const sizes = await listPacks(store, this.#signal)
    const quarantined = await listQuarantined(store, this.#signal)
    const comparison = new IndexComparison(index)
    // What a repair has put aside is known to be damaged, and nothing depends on it.
    for (const id of quarantined) if (!comparison.lists(id)) sizes.delete(id)
    const read = async (id: PackId): Promise<void> => {
      const name = packName(id)
      try {
        const fileBytes = sizes.get(id)!
        comparison.add({
          id,
          fileBytes,
          ...(await fetchPackDirectory(store, name, fileBytes, keys.pack, { signal: this.#signal })),
        })
      } catch (error) {
        this.#report(error, name)
      }
    }
    let done = 0
    for await (const _ of mapConcurrently(sizes.keys(), CONCURRENCY, read))
      this.#progress('packs', ++done, sizes.size)
    comparison.listings().forEach((listing, number) => {
      const { id } = index.packs[number]!
      const object = packName(id)
      if (!sizes.has(id)) {
        this.#absentPacks.add(number)
        // A writer that a prune ended may list, late, packs that are long gone. That alone harms nobody.
        if (this.#fencedPacks.has(number)) return
        const message = `The pack ${object} is missing; the index names it.`
        this.#findings.add({ key: object, code: 'ERR_CORRUPT_PACK', message, object })
      } else if (listing === 'false') {
        const message = `The index places other blobs in ${object} than the pack's own directory does.`
        this.#findings.add({ key: object, code: 'ERR_CORRUPT_INDEX', message, object })
      }
    })
    return sizes
  }

  /** Reads packs whole and has workers verify every blob in them. */
  async #checkData(sizes: ReadonlyMap<PackId, number>, verifiers: PackVerifiers): Promise<void> {
    const chosen = new Map([...sizes].filter(([id]) => this.#isChosen?.(id)))
    const input = { store: this.#context.store, verifiers, signal: this.#signal }
    let done = 0
    for await (const { name, bytesRead, problems } of verifyPacks(chosen, input)) {
      for (const { code, message, blob } of problems)
        this.#findings.add({ key: blob ?? name, code, message, object: name })
      if (bytesRead > 0) this.#packsRead++
      this.#bytesRead += bytesRead
      this.#progress('data', ++done, chosen.size)
    }
  }

  /** Restores a snapshot to nowhere, by the way a restore takes, up to the digest of the whole image. */
  async #drill(reference: string, index: ChunkIndex): Promise<SnapshotId> {
    const { catalog, store, config, keys } = this.#context
    const id = await catalog.resolveId(reference, this.#signal)
    try {
      const snapshot = await catalog.resolve(id, this.#signal)
      const { workers } = this.#options
      const reader = new BlobReader(store, index, keys)
      await restore({ store, config, keys, reader }, snapshot, new NullTarget(), {
        ...(workers === undefined ? {} : { workers }),
        signal: this.#signal,
        onProgress: ({ bytesDone, bytesTotal }) => this.#progress('drill', bytesDone, bytesTotal),
      })
    } catch (error) {
      this.#signal.throwIfAborted()
      if (!(error instanceof PlatterError && DRILL_FAILURES.has(error.code))) throw error
      const message = `The restore drill of snapshot ${id} failed: ${error.message}`
      this.#findings.add({ key: `drill ${id}`, code: error.code, message, object: error.details.object }, id)
    }
    return id
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

function tooManyKeySlots(count: number): PlatterError {
  return new PlatterError(
    'ERR_LIMIT_EXCEEDED',
    `There are ${count} key slots, and no more than ${MAX_KEY_SLOTS} are allowed. Remove those that nobody needs.`,
    { expected: MAX_KEY_SLOTS, actual: count },
  )
}

function sameState(a: GcState, b: GcState): boolean {
  return a.newest === b.newest && a.newestSwept === b.newestSwept && a.idle === b.idle
}
