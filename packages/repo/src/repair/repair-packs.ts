import {
  type BlockSource,
  type CodecName,
  createHasher,
  type PackId,
  PlatterError,
  packIdFrom,
  type RandomSource,
  type RecordSealer,
  type SnapshotId,
  settle,
  type WritableStore,
} from '@platter/core'
import type { Finding } from '../api/check-types.ts'
import type { RepairedPack, RepairPacksOptions, RepairPacksReport } from '../api/repair-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import { DAMAGE } from '../check/damage.ts'
import { PackVerifiers } from '../check/pack-verifiers.ts'
import { verifyPacks } from '../check/verify-packs.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { encodeQuarantine } from '../format/damage-record.ts'
import type { IndexedPack } from '../format/index-segment.ts'
import { MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import { CONFIG_NAME, DAMAGE_PREFIX, packName, quarantineName, snapshotName } from '../format/object-names.ts'
import type { Image } from '../image/image.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { chunkIndexOf } from '../index/chunk-index-builder.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { listSettledPacks } from '../pack/list-packs.ts'
import { PackUploader } from '../pack/pack-uploader.ts'
import { SmallPacks } from '../pack/small-packs.ts'
import type { WriterSession } from '../session/writer-session.ts'
import { readDamageMarks, writeDamageMark } from '../snapshots/damage-marks.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'
import { equalRanges } from '../tree/byte-ranges.ts'
import { workerCount } from '../workers/worker-pool.ts'
import { BlobStock } from './blob-stock.ts'
import { describedPacks, readerOfGoingPacks } from './described-packs.ts'
import { type HealInput, healFromSource } from './heal-from-source.ts'
import { ImageSource } from './image-source.ts'
import { assertNotFenced, type NamedSegment, packsOf, readAllSegments } from './index-segments.ts'
import { findLosses, type Losses } from './losses.ts'
import { findGround, finishPrune, type PendingPrune, unfinished } from './pending-prune.ts'
import { RepairReporter } from './repair-progress.ts'
import { underSession } from './repair-session.ts'
import { retireSegments } from './retire-segments.ts'
import { PackSalvager } from './salvage-pack.ts'
import { isWhole, listUsablePacks } from './usable-packs.ts'

/** Where a repair looks for what was lost. */
export type HealSource =
  | { readonly kind: 'source'; readonly source: BlockSource }
  /** A repository of the same id: a copy, in which blobs have the same ids. */
  | { readonly kind: 'copy'; readonly reader: BlobReader }
  /** Another repository: its ids differ, its images may be the same. */
  | {
      readonly kind: 'images'
      readonly snapshots: readonly Snapshot[]
      readonly open: (snapshot: Snapshot) => Promise<Image>
    }

/** What a repair of packs needs of an open repository. */
export interface RepairPacksContext {
  readonly store: WritableStore
  readonly records: RecordSealer
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  readonly codec: CodecName
  readonly random: RandomSource
  readonly now: () => Date
  readonly catalog: SnapshotCatalog
  readonly from: HealSource | undefined
}

/** Saves what damaged packs still hold, and heals what it can; see `Repository.repairPacks`. */
export async function repairPacks(
  context: RepairPacksContext,
  options: Omit<RepairPacksOptions, 'from'>,
): Promise<RepairPacksReport> {
  const report = await new PackRepair(context, options, false).run()
  return report ?? (await new PackRepair(context, options, true).run())!
}

class PackRepair {
  readonly #context: RepairPacksContext
  readonly #options: Omit<RepairPacksOptions, 'from'>
  #signal: AbortSignal
  readonly #workers: number
  readonly #reporter: RepairReporter
  readonly #started = performance.now()
  /** Packs that are damaged or missing, and what is wrong with each. */
  readonly #bad = new Map<PackId, string>()
  #packsRead = 0
  /** A prune that was cut off, which the repair ends. */
  #pending: PendingPrune | undefined
  /** Packs that it was to remove and that are still there, with their sizes. */
  readonly #going = new Map<PackId, number>()
  /** Whether packs are asked what is in them that no index segment lists. */
  readonly #asksPacks: boolean
  /** Sound packs that nobody lists, with their sizes. */
  readonly #unlisted = new Map<PackId, number>()
  /** Index segments that cannot be read, and what is known besides the others: what packs say that none of them lists. */
  #unreadable: readonly string[] = []
  readonly #described = new Set<NamedSegment>()

  constructor(context: RepairPacksContext, options: Omit<RepairPacksOptions, 'from'>, asksPacks: boolean) {
    this.#context = context
    this.#asksPacks = asksPacks
    this.#options = options
    this.#signal = options.signal ?? new AbortController().signal
    this.#workers = workerCount(options.workers)
    this.#reporter = new RepairReporter(options)
    const { from } = context
    if (from?.kind === 'source' && from.source.sequential) {
      throw new PlatterError(
        'ERR_SOURCE_UNSUPPORTED',
        `'${from.source.info.label}' can be read only once, from its beginning; healing needs a file or a device.`,
      )
    }
  }

  /** @returns undefined when what seems lost is in packs that the index does not list, and they were not asked. */
  async run(): Promise<RepairPacksReport | undefined> {
    const { dryRun = false } = this.#options
    return await underSession(this.#context, { dryRun, signal: this.#signal }, async (session, signal) => {
      this.#signal = signal
      return await this.#repair(session)
    })
  }

  async #repair(session: WriterSession | undefined): Promise<RepairPacksReport | undefined> {
    const { store, random, config, keys, codec, catalog } = this.#context
    const ground = await this.#meetPendingPrune(session === undefined)
    // Before the index is read: what is committed later may need what this index does not know yet, and is not lost.
    const ids = await catalog.ids(this.#signal)
    const segments = await this.#segments()
    const index = chunkIndexOf(segments.map(({ segment }) => segment))
    const sizes = await this.#verify(index)

    const uploader =
      session === undefined ? undefined : new PackUploader(this.#context, keys.pack, session.id, this.#signal)
    const packs =
      uploader === undefined ? undefined : new SmallPacks(uploader, keys.pack, config.packBytes, random)
    const damaged = Uint8Array.from(index.packs, ({ id }) => Number(this.#bad.has(id) || this.#isGoing(id)))
    const stock = new BlobStock({ objects: this.#context, index, keys, codec, damaged, packs, uploader })
    const packsDamaged = await this.#salvage(stock, segments, sizes)

    const { snapshots, unreadable } = await this.#snapshots(ids)
    const losses = await this.#heal(stock, snapshots, session)
    packs?.flush()
    this.#reporter.tell('commit', 0, undefined)
    const replaced = this.#relist(segments, uploader)
    // What follows relies on all that was written: the new packs, and the segments that list them.
    await uploader?.finish()
    // What seems lost may only have been moved by a prune, if that has ended this session.
    if (session !== undefined) await assertNotFenced(store, session, this.#signal)
    if (!this.#asksPacks && (await this.#isUnlisted(losses))) return undefined
    const { marked, healed } = await this.#mark(snapshots, losses, session !== undefined)
    if (session !== undefined) await this.#quarantine(sizes)
    if (session !== undefined && this.#pending !== undefined)
      await finishPrune(this.#context, this.#pending, this.#signal)
    const left =
      session === undefined ? [] : await retireSegments(this.#context, ground, replaced, this.#signal)
    this.#reporter.tell('commit', 1, 1)
    return {
      dryRun: session === undefined,
      packs: this.#packsRead,
      bytesRead: this.#reporter.bytesRead,
      packsDamaged,
      blobsHealed: stock.blobsHealed,
      bytesHealed: stock.bytesHealed,
      damage: [...losses.ranges].map(([{ id, name, time }, ranges]) => ({
        snapshot: id,
        name,
        time,
        ranges,
      })),
      unreadableSnapshots: unreadable,
      marked,
      healed,
      segmentsWritten: uploader?.segments ?? 0,
      segmentsReplaced: replaced,
      segmentsLeft: left,
      seconds: (performance.now() - this.#started) / 1000,
    }
  }

  /** The newest generation. @throws ERR_PRUNE_UNFINISHED when it was cut off in a store that cannot remove objects. */
  async #meetPendingPrune(dryRun: boolean): Promise<number> {
    const { generation, pending } = await findGround(this.#context, { dryRun, signal: this.#signal })
    if (pending !== undefined && !dryRun && !('delete' in this.#context.store)) throw unfinished(generation)
    this.#pending = pending
    return generation
  }

  /** Whether a prune that was cut off removes the pack: it cannot be relied on, but perhaps be read once more. */
  #isGoing(id: PackId): boolean {
    return this.#pending?.packs.has(id) ?? false
  }

  /**
   * What the index says. What a segment lists that cannot be read would seem lost, so the index has to be repaired
   * first. While a prune is unfinished that may not be possible, as what took the place of other packs may be damaged,
   * and what seems lost may really be when the prune is finished; so then the packs themselves are asked, too.
   *
   * @throws ERR_CORRUPT_INDEX
   */
  async #segments(): Promise<readonly NamedSegment[]> {
    const { readable, damaged } = await readAllSegments(this.#context, this.#signal, (done, total) =>
      this.#reporter.tell('index', done, total),
    )
    if (this.#pending !== undefined || this.#asksPacks) {
      this.#unreadable = damaged.map(({ name }) => name)
      return [...readable, ...(await this.#describe(readable))]
    }
    const [first] = damaged
    if (first === undefined) return readable
    throw new PlatterError(
      'ERR_CORRUPT_INDEX',
      `The index is damaged (${first.name}). Repair the index first; without it, sound packs would seem to be lost.`,
      { object: first.name, cause: first.error },
    )
  }

  /** What packs say that no segment lists. */
  async #describe(readable: readonly NamedSegment[]): Promise<readonly NamedSegment[]> {
    const { store, keys } = this.#context
    const sizes = await listUsablePacks(store, this.#signal)
    for (const id of sizes.keys()) if (this.#isGoing(id)) sizes.delete(id)
    for (const { segment } of readable) for (const { id } of segment.packs) sizes.delete(id)
    let firstPack = readable.reduce((sum, { segment }) => sum + segment.packs.length, 0)
    for await (const segment of describedPacks(store, sizes, keys, this.#signal)) {
      this.#described.add({ name: packName(segment.packs[0]!.id), segment, firstPack })
      firstPack += segment.packs.length
    }
    return [...this.#described]
  }

  /** Reads all packs, and finds those that are damaged or missing. */
  async #verify(index: ChunkIndex): Promise<ReadonlyMap<PackId, number>> {
    const { store, keys } = this.#context
    const { sizes, quarantined } = await listSettledPacks(store, this.#signal)
    const named = new Set(index.packs.map(({ id }) => id))
    // Put aside by an earlier repair, which has taken over what could be saved.
    for (const id of quarantined) {
      // An intact copy may have been put in its place.
      if (!named.has(id) && sizes.has(id) && !(await isWhole(store, id, this.#signal))) sizes.delete(id)
    }
    for (const [id, sizeBytes] of sizes) {
      if (!this.#isGoing(id)) continue
      this.#going.set(id, sizeBytes)
      sizes.delete(id)
    }
    for (const id of named)
      if (!sizes.has(id) && !this.#isGoing(id)) this.#bad.set(id, `The pack ${packName(id)} is missing.`)
    await using verifiers = new PackVerifiers(keys, this.#workers)
    const input = { store, verifiers, signal: this.#signal }
    for await (const { id, bytesRead, problems } of verifyPacks(sizes, input)) {
      this.#packsRead++
      this.#reporter.bytesRead += bytesRead
      if (problems[0] !== undefined) this.#bad.set(id, problems[0].message)
      else if (!named.has(id)) this.#unlisted.set(id, sizes.get(id)!)
      this.#reporter.tell('data', this.#packsRead, sizes.size)
    }
    return sizes
  }

  async #salvage(
    stock: BlobStock,
    segments: readonly NamedSegment[],
    sizes: ReadonlyMap<PackId, number>,
  ): Promise<RepairedPack[]> {
    const listed = new Map<PackId, IndexedPack[]>()
    for (const { segment } of segments) {
      for (const pack of packsOf(segment, (id) => this.#bad.has(id)))
        listed.set(pack.id, [...(listed.get(pack.id) ?? []), pack])
    }
    const salvager = new PackSalvager(stock, this.#context.keys)
    const repaired: RepairedPack[] = []
    let wholeFiles = 0
    for (const [id, message] of this.#bad) {
      const object = packName(id)
      const file = sizes.has(id) ? await this.#remains(object) : undefined
      const salvaged = await salvager.salvage(id, file, listed.get(id) ?? [])
      repaired.push({ object, id, message, ...salvaged })
      if (file !== undefined && packIdFrom(createHasher().hash(file)) === id) wholeFiles++
      this.#reporter.tell('salvage', repaired.length, this.#bad.size)
    }
    const damagedRead = repaired.filter(({ id }) => sizes.has(id)).length
    const isAnyIntact = this.#packsRead > damagedRead || repaired.some((pack) => pack.blobsSalvaged > 0)
    if (wholeFiles > 0 && !isAnyIntact) throw foreignConfig()
    return repaired
  }

  async #remains(object: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#context.store.get(object, { maxBytes: MAX_PACK_FILE_BYTES, signal: this.#signal })
    } catch (error) {
      this.#signal.throwIfAborted()
      if (error instanceof PlatterError && DAMAGE.has(error.code)) return undefined
      throw error
    }
  }

  /** Those of the snapshots that can be read, and a finding for each of the others. */
  async #snapshots(ids: readonly SnapshotId[]): Promise<{ snapshots: Snapshot[]; unreadable: Finding[] }> {
    const { catalog } = this.#context
    const snapshots: Snapshot[] = []
    const unreadable: Finding[] = []
    for (const id of ids) {
      try {
        const snapshot = await catalog.find(id, this.#signal)
        if (snapshot !== undefined) snapshots.push(snapshot)
      } catch (error) {
        this.#signal.throwIfAborted()
        if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
        const { code, message } = error
        unreadable.push({ code, message, object: snapshotName(id), snapshots: [id] })
      }
    }
    snapshots.sort((a, b) => Date.parse(a.time) - Date.parse(b.time) || (a.id < b.id ? -1 : 1))
    return { snapshots, unreadable }
  }

  /** What the snapshots lack after everything was tried. */
  async #heal(
    stock: BlobStock,
    snapshots: readonly Snapshot[],
    session: WriterSession | undefined,
  ): Promise<Losses> {
    const { from, config, store, keys } = this.#context
    const find = (): Promise<Losses> =>
      findLosses({
        snapshots,
        reader: stock,
        regionBytes: config.regionBytes,
        has: (id, type, length) => stock.has(id, type, length),
        signal: this.#signal,
        onProgress: (done, total) => this.#reporter.tell('trees', done, total),
      })
    let losses = await find()
    if (this.#going.size > 0 && losses.ranges.size > 0) {
      // What a prune had moved and is damaged there: it is still where it was before.
      const reader = await readerOfGoingPacks(store, this.#going, keys, this.#signal)
      losses = await this.#fromCopy(stock, reader, losses, find)
    }
    if (from === undefined || losses.ranges.size === 0) return losses
    const input: HealInput = {
      ...this.#context,
      stock,
      // Nothing is stored under it in a dry run.
      session: session?.id ?? ('' as SnapshotId),
      workers: this.#workers,
      signal: this.#signal,
      findLosses: find,
      onProgress: (done, total) => this.#reporter.tell('heal', done, total),
    }
    if (from.kind === 'source') return await healFromSource(input, from.source, losses)
    if (from.kind === 'copy') return await this.#fromCopy(stock, from.reader, losses, find)
    return await this.#fromImages(input, from, losses)
  }

  /** Whether any of what seems lost is in a pack that nobody lists, because a segment of the index is gone. */
  async #isUnlisted({ nodes, chunks }: Losses): Promise<boolean> {
    if (this.#unlisted.size === 0 || nodes.size + chunks.size === 0) return false
    const { store, keys } = this.#context
    const { index } = await readerOfGoingPacks(store, this.#unlisted, keys, this.#signal)
    const lost = [...nodes.values(), ...[...chunks.values()].map(({ id }) => id)]
    return lost.some((id) => index.find(id) >= 0)
  }

  /** Reads what is lost by its id. Nodes that were healed may show more that is lost. */
  async #fromCopy(
    stock: BlobStock,
    reader: BlobReader,
    losses: Losses,
    find: () => Promise<Losses>,
  ): Promise<Losses> {
    let left = losses
    for (;;) {
      const healed = stock.blobsHealed
      const lost = [...left.nodes.values()].map((id) => ({ id, type: BLOB_TYPE.node }))
      for (const { id, type } of [
        ...lost,
        ...[...left.chunks.values()].map((chunk) => ({ id: chunk.id, type: BLOB_TYPE.chunk })),
      ]) {
        try {
          await stock.heal(id, type, await reader.read(id, type, this.#signal))
        } catch (error) {
          this.#signal.throwIfAborted()
          if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
        }
      }
      if (stock.blobsHealed === healed) return left
      left = await find()
      if (left.ranges.size === 0) return left
    }
  }

  async #fromImages(
    input: HealInput,
    { snapshots, open }: HealSource & { readonly kind: 'images' },
    losses: Losses,
  ): Promise<Losses> {
    let left = losses
    const tried = new Set<Snapshot>()
    for (;;) {
      const next = nearest([...left.ranges.keys()], snapshots, tried)
      if (next === undefined) return left
      tried.add(next)
      await using image = await open(next)
      left = await this.#fromImage(input, image, left)
    }
  }

  async #fromImage(input: HealInput, image: Image, losses: Losses): Promise<Losses> {
    try {
      return await healFromSource(input, new ImageSource(image), losses)
    } catch (error) {
      this.#signal.throwIfAborted()
      // The other repository may be damaged too, in a tree; then this image cannot help.
      if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
      return await input.findLosses()
    }
  }

  /**
   * Lists anew what the segments with damaged packs, unreadable ones, and those that a prune which was cut off removes,
   * list beside what is damaged or goes.
   *
   * @returns names of the segments that are no longer needed then.
   */
  #relist(segments: readonly NamedSegment[], uploader: PackUploader | undefined): string[] {
    const isBad = ({ segment }: NamedSegment): boolean => segment.packs.some(({ id }) => this.#bad.has(id))
    const isGoing = ({ name }: NamedSegment): boolean => this.#pending?.segments.has(name) ?? false
    const isDescribed = (segment: NamedSegment): boolean => this.#described.has(segment)
    const goes = (segment: NamedSegment): boolean =>
      isBad(segment) || isGoing(segment) || isDescribed(segment)
    const listed = new Set(
      segments
        .filter((segment) => !goes(segment))
        .flatMap(({ segment }) => segment.packs.map(({ id }) => id)),
    )
    const stays = (id: PackId): boolean => !this.#bad.has(id) && !this.#isGoing(id) && !listed.has(id)
    for (const { segment } of segments.filter(goes)) {
      for (const pack of packsOf(segment, stays)) {
        listed.add(pack.id)
        uploader?.list(pack)
      }
    }
    const bad = segments.filter((segment) => isBad(segment) && !isDescribed(segment))
    return [...bad.map(({ name }) => name), ...this.#unreadable].filter(
      (name) => !this.#pending?.segments.has(name),
    )
  }

  /** Brings the marks of all snapshots up to date. */
  async #mark(
    snapshots: readonly Snapshot[],
    losses: Losses,
    write: boolean,
  ): Promise<{ marked: SnapshotId[]; healed: SnapshotId[] }> {
    const marks = await readDamageMarks(this.#context, this.#signal)
    // Marks that say what this repair finds are not written again.
    await settle(this.#context.store, DAMAGE_PREFIX, { signal: this.#signal })
    const marked: SnapshotId[] = []
    const healed: SnapshotId[] = []
    for (const snapshot of snapshots) {
      const ranges = losses.ranges.get(snapshot) ?? []
      const mark = marks.get(snapshot.id)
      if (mark === undefined ? ranges.length === 0 : isSame(mark.ranges, ranges)) continue
      if (ranges.length > 0) marked.push(snapshot.id)
      else healed.push(snapshot.id)
      if (write) await writeDamageMark(this.#context, snapshot.id, ranges, mark, this.#signal)
    }
    return { marked, healed }
  }

  /** Puts damaged packs aside: they stay, and no later repair lists or reads them. */
  async #quarantine(sizes: ReadonlyMap<PackId, number>): Promise<void> {
    const { store, records } = this.#context
    for (const id of this.#bad.keys()) {
      if (!sizes.has(id)) continue
      const name = quarantineName(id)
      await store.putIfAbsent(name, encodeQuarantine(name, records), { signal: this.#signal })
    }
  }
}

/** Packs that are as they were written, and not one blob that has the id it should: the keys are wrong, not the packs. */
function foreignConfig(): PlatterError {
  return new PlatterError(
    'ERR_CORRUPT_CONFIG',
    `Not one blob of any pack fits its id, although packs are as they were written: the config is of another repository. Put the right '${CONFIG_NAME}' back; nothing was changed.`,
    { object: CONFIG_NAME },
  )
}

/** Snapshot of another repository that is most likely to hold what the damaged ones have lost. */
function nearest(
  damaged: readonly Snapshot[],
  others: readonly Snapshot[],
  tried: ReadonlySet<Snapshot>,
): Snapshot | undefined {
  let best: { readonly snapshot: Snapshot; readonly score: number } | undefined
  for (const snapshot of others) {
    if (tried.has(snapshot)) continue
    for (const { name, time, volumes } of damaged) {
      if (snapshot.name !== name) continue
      const isSameTime = Date.parse(snapshot.time) === Date.parse(time)
      const isSameSize = snapshot.volumes[0]?.sizeBytes === volumes[0]?.sizeBytes
      const distance = Math.abs(Date.parse(snapshot.time) - Date.parse(time))
      const score = (isSameTime ? 4 : 0) + (isSameSize ? 2 : 0) + 1 / (1 + distance)
      if (best === undefined || score > best.score) best = { snapshot, score }
    }
  }
  return best?.snapshot
}

function isSame(
  a: Parameters<typeof equalRanges>[0] | undefined,
  b: Parameters<typeof equalRanges>[0],
): boolean {
  return a !== undefined && equalRanges(a, b)
}
