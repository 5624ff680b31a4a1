import { setMaxListeners } from 'node:events'
import {
  assertCanCompress,
  type BlockSource,
  type BlockTarget,
  defaultCodec,
  encryptedRecords,
  hasReserve,
  type KeySlotId,
  PlatterError,
  plainRecords,
  type ReadableStore,
  type RecordSealer,
  type RepositoryId,
  type SnapshotId,
  type Store,
  type SuiteName,
  systemRandom,
  type WritableStore,
} from '@platter/core'
import type { BackupOptions } from './api/backup-types.ts'
import type { CheckOptions, CheckReport } from './api/check-types.ts'
import type { ForgetPlan, ForgetSelection, PlanForgetOptions } from './api/forget-types.ts'
import type { PlanOptions, PruneOptions, PrunePlan, PruneReport } from './api/prune-types.ts'
import type {
  RepairIndexOptions,
  RepairIndexReport,
  RepairPacksOptions,
  RepairPacksReport,
} from './api/repair-types.ts'
import type { InitOptions, OpenOptions } from './api/repository-types.ts'
import type { RestoreOptions, RestoreStats } from './api/restore-types.ts'
import type { ByteRange, Snapshot } from './api/snapshot-types.ts'
import type { RepositoryStats } from './api/stats-types.ts'
import { backup } from './backup/backup.ts'
import { check } from './check/check.ts'
import { createRepository } from './config/create-repository.ts'
import { readConfig } from './config/open-config.ts'
import type { ChunkerSettings, RepositoryConfig } from './config/repository-config.ts'
import { deriveRepositoryKeys, type RepositoryKeys } from './config/repository-keys.ts'
import { diffTrees } from './diff/diff.ts'
import { RESERVE_BYTES } from './format/limits.ts'
import type { SealedStore } from './format/sealed-store.ts'
import { Image, type ImageOptions } from './image/image.ts'
import { WorkerDecoder } from './image/worker-decoder.ts'
import type { ChunkIndex } from './index/chunk-index.ts'
import { type LoadedIndex, loadChunkIndex } from './index/load-index.ts'
import { RepositoryKeySlots } from './keys/repository-key-slots.ts'
import { BlobReader } from './pack/blob-reader.ts'
import { pruneSettings } from './prune/options.ts'
import { makePlan } from './prune/plan.ts'
import { prune } from './prune/prune.ts'
import { repairIndex } from './repair/repair-index.ts'
import { type HealSource, repairPacks } from './repair/repair-packs.ts'
import { partialRestore } from './restore/partial-restore.ts'
import { restore } from './restore/restore.ts'
import { applyForget } from './retention/apply-forget.ts'
import { planForget } from './retention/plan-forget.ts'
import { lostRanges, readDamageMarks } from './snapshots/damage-marks.ts'
import { onlyVolume } from './snapshots/only-volume.ts'
import { SnapshotCatalog, type SnapshotFilter, writeTombstone } from './snapshots/snapshot-catalog.ts'
import { repositoryStats } from './stats/stats.ts'
import { VolumeTree } from './tree/volume-tree.ts'
import { workerCount } from './workers/worker-pool.ts'

/** One blob in so many is decompressed again before it is stored; costs about a hundredth of a first backup. */
const VERIFIED_SAMPLE = 16

/**
 * A repository of disk images in a store. Any number of repository objects, in any number of processes, may use
 * one store at once.
 *
 * @example
 * const store = await LocalStore.create('/backups/lab')
 * const passphrase = () => askTheUser()
 * await Repository.init(store, { passphrase })
 * await using repo = await Repository.open(store, { passphrase })
 * await using disk = await openSource('/dev/sda')
 * const snapshot = await repo.backup(disk, { name: 'web-01/sda' })
 */
export class Repository implements AsyncDisposable {
  readonly #store: ReadableStore
  readonly #records: RecordSealer
  readonly #config: RepositoryConfig
  readonly #keys: RepositoryKeys
  readonly #options: Omit<OpenOptions, 'passphrase' | 'keyFile'>
  readonly #keySlots: RepositoryKeySlots | undefined
  readonly #catalog: SnapshotCatalog
  #index: LoadedIndex | undefined
  readonly #closing = new AbortController()

  private constructor(
    store: ReadableStore,
    config: RepositoryConfig,
    slot: KeySlotId | undefined,
    { passphrase: _passphrase, keyFile: _keyFile, ...options }: OpenOptions,
  ) {
    this.#store = store
    this.#config = config
    this.#keys = deriveRepositoryKeys(config)
    const { metadata } = this.#keys
    this.#records = metadata === undefined ? plainRecords : encryptedRecords(metadata, options.random)
    this.#options = options
    this.#catalog = new SnapshotCatalog({ store, records: this.#records })
    // Every operation listens to it, and any number may run at once.
    setMaxListeners(0, this.#closing.signal)
    if (slot !== undefined) {
      const { random = systemRandom, now = () => new Date() } = options
      const context = { store, repository: config.id, master: config.secret, random, now }
      this.#keySlots = new RepositoryKeySlots(context, slot, (signal) => {
        this.#assertOpen()
        return this.#signal(signal)
      })
    }
  }

  /**
   * Makes a store a repository: an encrypted one, for which a passphrase or a key file is needed, unless
   * `crypto: 'none'` asks for one that anyone with access to the store can read.
   *
   * @throws ERR_REPOSITORY_EXISTS, ERR_KEY_REQUIRED, ERR_KEY_SLOT_PARAMETERS, ERR_INVALID_ARGUMENT, and what the store
   * throws.
   */
  static async init(store: WritableStore, options: InitOptions): Promise<RepositoryId> {
    const id = await createRepository(store, options)
    await keepReserve(store, signalOf(options))
    return id
  }

  /**
   * Opens a repository. A store that can only be read gives a repository that can only be read.
   *
   * @throws ERR_REPOSITORY_NOT_FOUND, ERR_KEY_REQUIRED, ERR_WRONG_PASSPHRASE, ERR_NO_KEY_SLOT, ERR_CORRUPT_KEY_SLOT,
   * ERR_KEY_SLOT_PARAMETERS, ERR_NOT_ENCRYPTED when a credential is given that the repository has no use for,
   * ERR_CORRUPT_CONFIG, ERR_UNSUPPORTED_VERSION, ERR_UNSUPPORTED_FEATURE, and what the store throws.
   */
  static async open(store: ReadableStore, options: OpenOptions = {}): Promise<Repository> {
    const { config, slot } = await readConfig(store, options, signalOf(options))
    return new Repository(store, config, slot, options)
  }

  get id(): RepositoryId {
    return this.#config.id
  }

  /** How everything in this repository is protected. */
  get crypto(): SuiteName {
    return this.#config.crypto
  }

  /** The key slots of an encrypted repository. @throws ERR_NOT_ENCRYPTED where there are none. */
  get keys(): RepositoryKeySlots {
    if (this.#keySlots === undefined)
      throw new PlatterError('ERR_NOT_ENCRYPTED', 'The repository is not encrypted, so it has no key slots.')
    return this.#keySlots
  }

  /** How this repository cuts images into chunks. */
  get chunker(): ChunkerSettings {
    return this.#config.chunker
  }

  /**
   * Backs a source up and commits a snapshot. Until it resolves no snapshot is visible; what was stored before a
   * failure is used by the next backup.
   *
   * @throws ERR_SOURCE_READ, ERR_SOURCE_CHANGED, ERR_INVALID_ARGUMENT, ERR_SESSION_FENCED, ERR_STORE_FULL and
   * whatever else source and store throw; the signal's reason when aborted.
   */
  async backup(source: BlockSource, options: BackupOptions = {}): Promise<Snapshot> {
    const store = this.#writable()
    const signal = this.#signal(options.signal)
    const codec = this.#options.codec ?? 'auto'
    await keepReserve(store, { signal })
    return await backup(
      {
        store,
        records: this.#records,
        config: this.#config,
        keys: this.#keys,
        codec: codec === 'auto' ? defaultCodec() : codec,
        verifyOneIn: this.#options.verifyCompression === 'all' ? 1 : VERIFIED_SAMPLE,
        random: this.#options.random ?? systemRandom,
        now: this.#now,
        // The parent is for information only, so a damaged snapshot of another time must not stop a backup.
        findParent: async (name) =>
          (await this.#catalog.list({ name }, signal, (error) => this.#options.onWarning?.(error))).at(-1),
      },
      source,
      { ...options, signal },
    )
  }

  /**
   * Restores a snapshot bit for bit. Every chunk is checked against its id, and the whole against the image digest.
   * A snapshot that a repair has marked as damaged is refused before the target is touched; with `allowDamaged`
   * what is left of it is restored.
   *
   * @param reference id, unique prefix of one, 'latest' or 'latest:NAME'.
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_SNAPSHOT_DAMAGED, ERR_TARGET_TOO_SMALL, ERR_CHUNK_MISSING,
   * ERR_CORRUPT_BLOB, ERR_DIGEST_MISMATCH and whatever target and store throw. The target is then incomplete.
   */
  async restore(reference: string, target: BlockTarget, options: RestoreOptions = {}): Promise<RestoreStats> {
    const signal = this.#signal(options.signal)
    const snapshot = await this.snapshot(reference, { signal })
    const { allowDamaged = false } = options
    if (!allowDamaged) await this.#assertUndamaged(snapshot.id, signal)
    const reader = await this.#reader(signal)
    const context = { store: this.#store, config: this.#config, keys: this.#keys, reader }
    const work = allowDamaged ? partialRestore : restore
    return await work(context, snapshot, target, { ...options, signal })
  }

  /**
   * Opens a snapshot's image for reading at any place.
   *
   * @throws ERR_INVALID_ARGUMENT, ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_CORRUPT_SNAPSHOT, ERR_CORRUPT_INDEX
   */
  async openImage(reference: string, options: ImageOptions = {}): Promise<Image> {
    const signal = this.#signal(options.signal)
    const workers = workerCount(options.workers ?? 0)
    const snapshot = await this.snapshot(reference, { signal })
    const decoder = workers === 0 ? undefined : new WorkerDecoder(workers, this.#keys)
    const reader = await this.#reader(signal, decoder)
    const tree = new VolumeTree(reader, onlyVolume(snapshot), this.#config.regionBytes)
    return new Image(snapshot, tree, reader, decoder, options)
  }

  /**
   * Compares two snapshots' images by their trees alone; no image data is read.
   *
   * @returns ranges outside which the images are equal, ascending, as fine as chunks are. Within them they may
   * differ.
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_CHUNK_MISSING, ERR_CORRUPT_BLOB, ERR_CORRUPT_NODE
   */
  async *diff(
    a: string,
    b: string,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<ByteRange> {
    const signal = this.#signal(options.signal)
    const [left, right] = [await this.snapshot(a, { signal }), await this.snapshot(b, { signal })]
    const reader = await this.#reader(signal)
    const tree = (snapshot: Snapshot): VolumeTree =>
      new VolumeTree(reader, onlyVolume(snapshot), this.#config.regionBytes)
    yield* diffTrees(tree(left), tree(right), signal)
  }

  /**
   * Looks for damage: every snapshot, key slot, index segment, pack directory and tree node, and on request every blob.
   * Findings are values; it throws only when it could not look.
   *
   * @throws ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_ARGUMENT
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    this.#assertOpen()
    // A catalog of its own: what was read before is read again.
    const catalog = new SnapshotCatalog(this.#objects)
    const signal = this.#signal(options.signal)
    return await check(
      { ...this.#objects, config: this.#config, keys: this.#keys, catalog },
      { ...options, signal },
    )
  }

  /**
   * Makes the index anew from the packs, as far as it is missing, unreadable, or says other things than they do.
   * Sound index segments stay. What a `dryRun` reports it would do; a store that can only be read will do for it.
   *
   * @throws ERR_PRUNE_UNFINISHED, ERR_SESSION_FENCED, ERR_UNSUPPORTED_VERSION, and what the store throws.
   */
  async repairIndex(options: RepairIndexOptions = {}): Promise<RepairIndexReport> {
    const context = {
      store: this.#repairable(options.dryRun),
      records: this.#records,
      keys: this.#keys,
      random: this.#options.random ?? systemRandom,
      now: this.#now,
    }
    return await repairIndex(context, { ...options, signal: this.#signal(options.signal) })
  }

  /**
   * Reads all packs, takes every intact blob of damaged ones over into new packs, and looks in `from` for what is
   * lost. Snapshots that still lack something are marked; their records stay as they are. Damaged packs are put
   * aside, not removed. For a `dryRun` a store that can only be read will do.
   *
   * @throws ERR_CORRUPT_INDEX when the index must be repaired first; ERR_PRUNE_UNFINISHED, ERR_SESSION_FENCED,
   * ERR_SOURCE_UNSUPPORTED, ERR_UNSUPPORTED_VERSION, and what the store throws.
   */
  async repairPacks(options: RepairPacksOptions = {}): Promise<RepairPacksReport> {
    const store = this.#repairable(options.dryRun)
    const signal = this.#signal(options.signal)
    const { from, ...rest } = options
    const codec = this.#options.codec ?? 'auto'
    const context = {
      store,
      records: this.#records,
      config: this.#config,
      keys: this.#keys,
      codec: codec === 'auto' ? defaultCodec() : codec,
      random: this.#options.random ?? systemRandom,
      now: this.#now,
      // A catalog of its own: what was read before is read again.
      catalog: new SnapshotCatalog(this.#objects),
      from: from instanceof Repository ? await this.#healSource(from, signal) : sourceOf(from),
    }
    assertCanCompress(context.codec)
    return await repairPacks(context, { ...rest, signal })
  }

  /**
   * Snapshots that a repair has marked as damaged, and the ranges of their images that are lost.
   *
   * @throws what the store throws.
   */
  async damagedSnapshots(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Map<SnapshotId, readonly ByteRange[]>> {
    this.#assertOpen()
    return await lostRanges(this.#objects, this.#signal(options.signal), (error) =>
      this.#options.onWarning?.(error),
    )
  }

  /** Adds up what the repository holds. */
  async stats(options: { readonly signal?: AbortSignal } = {}): Promise<RepositoryStats> {
    this.#assertOpen()
    const signal = this.#signal(options.signal)
    return await repositoryStats(this.#store, await this.#chunkIndex(signal), this.#catalog, signal)
  }

  /**
   * Committed snapshots, oldest first. When one cannot be read, all others come first and then its error is thrown.
   *
   * @throws ERR_CORRUPT_SNAPSHOT and what the store throws.
   */
  async *snapshots(
    filter: SnapshotFilter & { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Snapshot> {
    this.#assertOpen()
    const damaged: PlatterError[] = []
    yield* await this.#catalog.list(filter, this.#signal(filter.signal), (error) => damaged.push(error))
    if (damaged[0] !== undefined) throw damaged[0]
  }

  /**
   * Finds one snapshot.
   *
   * @param reference id, unique prefix of at least 4 digits, 'latest' or 'latest:NAME'.
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_CORRUPT_SNAPSHOT
   */
  async snapshot(reference: string, options: { readonly signal?: AbortSignal } = {}): Promise<Snapshot> {
    this.#assertOpen()
    return await this.#catalog.resolve(reference, this.#signal(options.signal))
  }

  /**
   * Takes a snapshot out of all listings. Its data stays until it is pruned.
   *
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS
   */
  async forget(reference: string, options: { readonly signal?: AbortSignal } = {}): Promise<SnapshotId> {
    const store = this.#writable()
    const signal = this.#signal(options.signal)
    const objects = { store, records: this.#records }
    const id = await this.#catalog.resolveId(reference, signal)
    await writeTombstone(objects, id, signal)
    return id
  }

  /**
   * Says which snapshots a retention policy, or a list of names, would have forgotten, why the others stay, and how
   * many bytes that could free. Changes nothing; `applyForget` carries the plan out.
   *
   * @throws ERR_INVALID_ARGUMENT, ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_CORRUPT_SNAPSHOT when any
   * snapshot that counts cannot be read, and, unless `sizes` is false, ERR_CORRUPT_INDEX, ERR_CHUNK_MISSING,
   * ERR_CORRUPT_BLOB and ERR_CORRUPT_NODE.
   *
   * @example
   * const plan = await repo.planForget({ policy: { keepDaily: 7, keepMonthly: 12 }, timeZone: 'Europe/Berlin' })
   * for (const { snapshot, keep, bytesFreed } of plan.snapshots) console.log(snapshot.id, keep, bytesFreed)
   * await repo.applyForget(plan)
   */
  async planForget(selection: ForgetSelection, options: PlanForgetOptions = {}): Promise<ForgetPlan> {
    this.#assertOpen()
    const signal = this.#signal(options.signal)
    return await planForget(
      {
        catalog: this.#catalog,
        regionBytes: this.#config.regionBytes,
        now: this.#now,
        lost: () => lostRanges(this.#objects, signal),
        reader: () => this.#reader(signal),
      },
      selection,
      { ...options, signal },
    )
  }

  /**
   * Forgets what a plan says: writes a tombstone for each snapshot. Broken off half way, some are forgotten and the
   * rest are not, and the same plan can be applied again; what is forgotten already is passed over.
   *
   * @returns ids of the snapshots that it has forgotten, in the order of the plan.
   * @throws ERR_INVALID_ARGUMENT, with nothing forgotten, when a snapshot that the plan keeps is gone by now: what the
   * plan removes may be all that is left.
   */
  async applyForget(
    plan: ForgetPlan,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<SnapshotId[]> {
    const objects = { store: this.#writable(), records: this.#records }
    const signal = this.#signal(options.signal)
    return await applyForget(this.#catalog, plan, (id) => writeTombstone(objects, id, signal), signal)
  }

  /**
   * Says what a prune would do. Changes nothing; needs no more than a store that can be read.
   *
   * @throws ERR_INVALID_ARGUMENT; what cannot be read, and ERR_CHUNK_MISSING, since a prune must see everything.
   */
  async planPrune(options: PlanOptions = {}): Promise<PrunePlan> {
    this.#assertOpen()
    const signal = this.#signal(options.signal)
    const catalog = new SnapshotCatalog(this.#objects)
    const context = { ...this.#objects, config: this.#config, keys: this.#keys, catalog, now: this.#now }
    return (await makePlan(context, pruneSettings(options), signal)).plan
  }

  /**
   * Gives back the space of what no snapshot needs. Runs beside backups, restores and other prunes, and may die at
   * any time: the next prune goes on from there. A prune that was begun while backups were under way ends with
   * outcome 'pending', and the next one does the rest; with `wait` it waits for them.
   *
   * @param plan removes no packs but those of this plan; without one, it plans for itself.
   * @throws ERR_STORE_UNSUPPORTED when the store cannot remove objects, ERR_INVALID_ARGUMENT, ERR_STORE_FULL; what
   * cannot be read, and ERR_CHUNK_MISSING, with nothing removed.
   */
  async prune(plan?: PrunePlan, options: PruneOptions = {}): Promise<PruneReport> {
    const store = this.#writable()
    if (!('delete' in store)) {
      throw new PlatterError(
        'ERR_STORE_UNSUPPORTED',
        `The store ${store.label} cannot remove objects, so its repository cannot be pruned.`,
      )
    }
    return await prune(
      {
        store: store as Store,
        records: this.#records,
        config: this.#config,
        keys: this.#keys,
        catalog: new SnapshotCatalog(this.#objects),
        random: this.#options.random ?? systemRandom,
        now: this.#now,
      },
      plan,
      pruneSettings(options),
      this.#signal(options.signal),
    )
  }

  /**
   * Frees what the repository holds; the store stays open. What is still running is broken off with ERR_CLOSED: with
   * the keys gone it could only go wrong. Calling it twice is harmless.
   */
  async close(): Promise<void> {
    this.#closing.abort(new PlatterError('ERR_CLOSED', 'The repository has been closed.'))
    this.#index = undefined
    for (const key of [...Object.values(this.#keys), this.#config.secret]) key?.fill(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #writable(): WritableStore {
    this.#assertOpen()
    if (!('putIfAbsent' in this.#store)) {
      throw new PlatterError('ERR_STORE_UNSUPPORTED', `The store ${this.#store.label} can only be read.`)
    }
    return this.#store as WritableStore
  }

  /** The store of a repair. A dry run never calls what only a writable one has. */
  #repairable(dryRun: boolean | undefined): WritableStore {
    if (dryRun !== true) return this.#writable()
    this.#assertOpen()
    return this.#store as WritableStore
  }

  /** @throws ERR_SNAPSHOT_DAMAGED when a repair has marked the snapshot. */
  async #assertUndamaged(id: SnapshotId, signal: AbortSignal): Promise<void> {
    const marks = await readDamageMarks(this.#objects, signal, id, (error) =>
      this.#options.onWarning?.(error),
    )
    const ranges = marks.get(id)?.ranges ?? []
    if (ranges.length === 0) return
    const bytes = ranges.reduce((sum, { length }) => sum + length, 0)
    throw new PlatterError(
      'ERR_SNAPSHOT_DAMAGED',
      `The snapshot ${id} is damaged: ${bytes} bytes of its image, in ${ranges.length} range(s) from byte ${ranges[0]!.offset} on, are lost. Heal it with a repair from a source that has them, or restore what is left of it.`,
      { object: id, offset: ranges[0]!.offset, length: bytes },
    )
  }

  /** How a repair reads from another repository: by ids where it is a copy of this one, else by its images. */
  async #healSource(other: Repository, signal: AbortSignal): Promise<HealSource> {
    if (other.id === this.id) return { kind: 'copy', reader: await other.#reader(signal) }
    return {
      kind: 'images',
      snapshots: await other.#catalog.list({}, signal, (error) => this.#options.onWarning?.(error)),
      open: async ({ id }) => await other.openImage(id, { signal }),
    }
  }

  get #now(): () => Date {
    return this.#options.now ?? (() => new Date())
  }

  get #objects(): SealedStore {
    return { store: this.#store, records: this.#records }
  }

  #assertOpen(): void {
    this.#closing.signal.throwIfAborted()
  }

  /** What ends an operation: its caller's signal, or the repository's being closed. */
  #signal(signal: AbortSignal | undefined): AbortSignal {
    const closing = this.#closing.signal
    return signal === undefined ? closing : AbortSignal.any([signal, closing])
  }

  async #reader(signal: AbortSignal, decoder?: WorkerDecoder): Promise<BlobReader> {
    const index = await this.#chunkIndex(signal)
    this.#assertOpen()
    // Reloaded on behalf of many reads, so no one caller's signal may end it.
    const reload = (): Promise<ChunkIndex> => this.#chunkIndex(this.#closing.signal)
    return new BlobReader(this.#store, index, this.#keys, reload, decoder)
  }

  /** The whole index; read again when other segments are there than last time. */
  async #chunkIndex(signal: AbortSignal | undefined): Promise<ChunkIndex> {
    this.#index = await loadChunkIndex(this.#objects, this.#index, signal)
    return this.#index.index
  }
}

function sourceOf(source: BlockSource | undefined): HealSource | undefined {
  return source === undefined ? undefined : { kind: 'source', source }
}

function signalOf(options: { readonly signal?: AbortSignal }): { readonly signal?: AbortSignal } {
  return options.signal === undefined ? {} : { signal: options.signal }
}

/** Has a store keep some space back for a prune, where it can; that it cannot now is no reason to stop. */
async function keepReserve(store: WritableStore, options: { readonly signal?: AbortSignal }): Promise<void> {
  if (!hasReserve(store)) return
  try {
    await store.keepReserve(RESERVE_BYTES, options)
  } catch (error) {
    if (!(error instanceof PlatterError)) throw error
  }
}
