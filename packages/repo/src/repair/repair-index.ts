import {
  type PackId,
  PlatterError,
  type RandomSource,
  type RecordSealer,
  type WritableStore,
} from '@platter/core'
import type { DamagedPack, RepairIndexOptions, RepairIndexReport } from '../api/repair-types.ts'
import { DAMAGE } from '../check/damage.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { IndexedPack } from '../format/index-segment.ts'
import { PACKS_PER_INDEX_SEGMENT } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import { chunkIndexOf } from '../index/chunk-index-builder.ts'
import { IndexComparison, type PackListing } from '../index/index-comparison.ts'
import { fetchPackDirectory } from '../pack/pack-directory.ts'
import { PackUploader } from '../pack/pack-uploader.ts'
import { assertReplacementsWhole } from '../prune/replacements.ts'
import type { WriterSession } from '../session/writer-session.ts'
import { assertNotFenced, type NamedSegment, packsOf, readAllSegments } from './index-segments.ts'
import { findGround, finishPrune, unfinished } from './pending-prune.ts'
import { RepairReporter } from './repair-progress.ts'
import { underSession } from './repair-session.ts'
import { retireSegments } from './retire-segments.ts'
import { listUsablePacks } from './usable-packs.ts'

const CONCURRENCY = 8

/** What a repair of the index needs of an open repository. */
export interface RepairIndexContext {
  readonly store: WritableStore
  readonly records: RecordSealer
  readonly keys: RepositoryKeys
  readonly random: RandomSource
  readonly now: () => Date
}

/** Makes the index anew from the packs, as far as it is damaged; see `Repository.repairIndex`. */
export async function repairIndex(
  context: RepairIndexContext,
  options: RepairIndexOptions,
): Promise<RepairIndexReport> {
  return await new IndexRepair(context, options).run()
}

class IndexRepair {
  readonly #context: RepairIndexContext
  readonly #options: RepairIndexOptions
  #signal: AbortSignal
  readonly #reporter: RepairReporter
  readonly #started = performance.now()
  /** Packs whose directory cannot be read, and why. */
  readonly #unreadable = new Map<PackId, PlatterError>()
  readonly #listed = new Set<PackId>()
  #uploader: PackUploader | undefined

  constructor(context: RepairIndexContext, options: RepairIndexOptions) {
    this.#context = context
    this.#options = options
    this.#signal = options.signal ?? new AbortController().signal
    this.#reporter = new RepairReporter(options)
  }

  async run(): Promise<RepairIndexReport> {
    const { dryRun = false } = this.#options
    return await underSession(this.#context, { dryRun, signal: this.#signal }, async (session, signal) => {
      this.#signal = signal
      return await this.#repair(session)
    })
  }

  async #repair(session: WriterSession | undefined): Promise<RepairIndexReport> {
    const ground = await this.#endPendingPrune(session === undefined)
    if (session !== undefined)
      this.#uploader = new PackUploader(this.#context, this.#context.keys.pack, session.id, this.#signal)

    // The segments are read before the packs are listed: a pack that is stored meanwhile is not taken for missing.
    const { readable, damaged } = await readAllSegments(this.#context, this.#signal, (done, total) =>
      this.#reporter.tell('index', done, total),
    )
    const index = chunkIndexOf(readable.map(({ segment }) => segment))
    const comparison = new IndexComparison(index)
    const sizes = await listUsablePacks(this.#context.store, this.#signal)
    await this.#readDirectories(sizes, comparison)

    const listings = comparison.listings()
    const isSound = ({ segment, firstPack }: NamedSegment): boolean =>
      segment.packs.every(({ id }, i) => sizes.has(id) && listings[firstPack + i] !== 'false')
    const sound = readable.filter(isSound)
    const lying = readable.filter((segment) => !sound.includes(segment))
    await this.#relistAll(sound, lying, listings, sizes)
    await this.#uploader?.finish()

    const replaced = [...damaged, ...lying].map(({ name }) => name)
    if (session !== undefined) await assertNotFenced(this.#context.store, session, this.#signal)
    const left =
      session === undefined ? [] : await retireSegments(this.#context, ground, replaced, this.#signal)
    const missing = new Set(index.packs.filter(({ id }) => !sizes.has(id)).map(({ id }) => packName(id)))
    const inIndex = (id: PackId): boolean => comparison.lists(id)
    return {
      dryRun: session === undefined,
      packs: sizes.size,
      packsListed: this.#listed.size,
      packsMissing: [...missing],
      packsUnlisted: this.#damagedPacks((id) => !inIndex(id)),
      packsDamaged: this.#damagedPacks(inIndex),
      segmentsWritten: this.#uploader?.segments ?? Math.ceil(this.#listed.size / PACKS_PER_INDEX_SEGMENT),
      segmentsReplaced: replaced,
      segmentsLeft: left,
      seconds: (performance.now() - this.#started) / 1000,
    }
  }

  /** The generation after whose end every pack that stands may be listed. @throws ERR_PRUNE_UNFINISHED */
  async #endPendingPrune(dryRun: boolean): Promise<number> {
    const { generation, pending } = await findGround(this.#context, { dryRun, signal: this.#signal })
    if (pending === undefined) return generation
    if (dryRun) throw unfinished(generation)
    await assertReplacementsWhole(this.#context, generation, pending.sweep, this.#signal)
    await finishPrune(this.#context, pending, this.#signal)
    return generation
  }

  /** Reads every pack's directory; what no segment lists is listed at once. */
  async #readDirectories(sizes: Map<PackId, number>, comparison: IndexComparison): Promise<void> {
    let done = 0
    const read = async ([id, fileBytes]: [PackId, number]): Promise<void> => {
      const pack = await this.#directory(id, fileBytes)
      if (pack === undefined) return
      if (comparison.lists(id)) comparison.add(pack)
      else this.#relist(pack)
    }
    for await (const _ of mapConcurrently([...sizes], CONCURRENCY, read))
      this.#reporter.tell('packs', ++done, sizes.size)
  }

  async #directory(id: PackId, fileBytes: number): Promise<IndexedPack | undefined> {
    try {
      const options = { signal: this.#signal }
      const { store, keys } = this.#context
      return {
        id,
        fileBytes,
        ...(await fetchPackDirectory(store, packName(id), fileBytes, keys.pack, options)),
      }
    } catch (error) {
      this.#signal.throwIfAborted()
      if (PlatterError.is(error, 'ERR_UNSUPPORTED_VERSION')) throw error
      if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
      this.#unreadable.set(id, error)
      return undefined
    }
  }

  /** Lists what sound packs would lose with the segments that lie. */
  async #relistAll(
    sound: readonly NamedSegment[],
    lying: readonly NamedSegment[],
    listings: readonly PackListing[],
    sizes: ReadonlyMap<PackId, number>,
  ): Promise<void> {
    const kept = new Set(sound.flatMap(({ segment }) => segment.packs.map(({ id }) => id)))
    for (const { segment, firstPack } of lying) {
      const isUnknown = new Set<PackId>()
      for (const [i, { id }] of segment.packs.entries()) {
        const fileBytes = sizes.get(id)
        if (fileBytes === undefined || kept.has(id) || this.#listed.has(id)) continue
        if (listings[firstPack + i] === 'unknown') {
          isUnknown.add(id)
          continue
        }
        const pack = await this.#directory(id, fileBytes)
        if (pack !== undefined) this.#relist(pack)
      }
      // Of these the index is all there is.
      for (const pack of packsOf(segment, (id) => isUnknown.has(id))) this.#relist(pack)
    }
  }

  #relist(pack: IndexedPack): void {
    this.#listed.add(pack.id)
    this.#uploader?.list(pack)
  }

  #damagedPacks(wanted: (id: PackId) => boolean): DamagedPack[] {
    return [...this.#unreadable]
      .filter(([id]) => wanted(id))
      .map(([id, { message }]) => ({ id, object: packName(id), message }))
  }
}
