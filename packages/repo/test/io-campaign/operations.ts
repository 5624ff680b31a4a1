// What is done to a repository while system calls fail, and what must be true when it says that it is done.
import { LocalStore, MemorySource, type StoreFileSystem } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { backUp, codeOf, collected, ENCRYPTED, KEY_FILE, noise, restored, sameBytes } from '../adversity.ts'
import { CHANGED, healingSource, NEW, type World, type WorldName } from './worlds.ts'

/** Another key file than the one the repositories are made with. */
export const OTHER_KEY_FILE: Uint8Array = noise('another key file', 32)

export interface Operation {
  readonly world: WorldName
  /** Does it, with a store whose calls may fail. May be done again when it failed. */
  readonly run: (path: string, fileSystem: StoreFileSystem, world: World) => Promise<unknown>
  /** Says what is missing of its effect; undefined when nothing is. */
  readonly missing: (repo: Repository, world: World) => Promise<string | undefined>
  /** Objects that it may remove. Default: none. */
  readonly removes?: RegExp
  /** The image of a snapshot that it may commit. */
  readonly commits?: Uint8Array
  /** How many of the oldest snapshots it forgets. Default 0. */
  readonly forgets?: number
}

/** Opens a repository whose key may have been changed. */
export async function openAny(store: LocalStore): Promise<Repository> {
  const opened = await Repository.open(store, { keyFile: KEY_FILE }).catch((error: unknown) => error)
  return opened instanceof Repository ? opened : await Repository.open(store, { keyFile: OTHER_KEY_FILE })
}

/** An operation on an open repository. */
function onRepository(work: (repo: Repository, world: World) => Promise<unknown>): Operation['run'] {
  return async (path, fileSystem, world) => {
    const store = new LocalStore(path, { fileSystem })
    await using repo = await openWith(store)
    return await work(repo, world)
  }
}

/** With the key file that fits: while a key is changed that may be either. */
async function openWith(store: LocalStore): Promise<Repository> {
  try {
    return await Repository.open(store, { keyFile: KEY_FILE })
  } catch (error) {
    const other = await Repository.open(store, { keyFile: OTHER_KEY_FILE }).catch(() => undefined)
    if (other === undefined) throw error
    return other
  }
}

function backupOf(image: Uint8Array, world: WorldName, options = {}): Operation {
  return {
    world,
    commits: image,
    run: onRepository((repo) => backUp(repo, image, options)),
    missing: async (repo) =>
      sameBytes(await restored(repo, 'latest:disk'), image) ? undefined : 'the snapshot',
  }
}

function repairOf(world: WorldName): Operation {
  return {
    world,
    removes: /^index\//,
    run: onRepository((repo) => repo.repairPacks({ from: healingSource(), workers: 0 })),
    missing: findingsOf,
  }
}

const NOTHING_MISSING = async (): Promise<undefined> => undefined

/** Restores, and is satisfied with nothing but the right bytes. */
async function restoreAll(repo: Repository, { snapshots }: World): Promise<void> {
  for (const [id, image] of snapshots)
    if (!sameBytes(await restored(repo, id), image)) throw new Error('Other bytes were restored.')
}

async function readAll(repo: Repository, { snapshots }: World): Promise<void> {
  for (const [id, bytes] of snapshots) {
    await using image = await repo.openImage(id)
    if (!sameBytes(await image.read(0, bytes.length), bytes)) throw new Error('Other bytes were read.')
  }
}

/** An error of the system must not become a finding. */
async function checkAll(repo: Repository): Promise<void> {
  const { findings } = await repo.check({ readData: true, workers: 0 })
  if (findings.length > 0) throw new Error(`Damage where there is none: ${findings[0]!.message}`)
}

/** What an operation says that found its work done: by an attempt whose last step was not durable, perhaps. */
export const NOTHING_TO_DO = 'nothing to do'

async function forgetOldest(repo: Repository, { snapshots }: World): Promise<string> {
  const [oldest] = snapshots.keys()
  const listed = await collected(repo.snapshots())
  if (!listed.some(({ id }) => id === oldest)) return NOTHING_TO_DO
  return await repo.forget(oldest!)
}

async function oldestIsListed(repo: Repository, { snapshots }: World): Promise<string | undefined> {
  const [oldest] = snapshots.keys()
  return (await collected(repo.snapshots())).some(({ id }) => id === oldest) ? 'the tombstone' : undefined
}

async function findingsOf(repo: Repository): Promise<string | undefined> {
  const { findings } = await repo.check({ readData: true, workers: 0 })
  return findings[0]?.message
}

/** Garbage packs go; a dead writer is taken for dead at once. */
const PRUNE = { patienceSeconds: 0, maxUnusedFraction: 0 }

async function unprunedBytes(repo: Repository): Promise<string | undefined> {
  const { bytesRemoved } = await repo.planPrune(PRUNE)
  return bytesRemoved > 0 ? `removing ${bytesRemoved} bytes` : undefined
}

async function opensWith(
  repo: Repository,
  keyFile: Uint8Array,
  should: boolean,
): Promise<string | undefined> {
  const code = await codeOf(Repository.open(STORES.get(repo)!, { keyFile }))
  return (code === 'success') === should ? undefined : `opening with a key file: ${code}`
}

/** The store of each repository that is judged. */
export const STORES: WeakMap<Repository, LocalStore> = new WeakMap()

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  init: {
    world: 'nothing',
    run: async (path, fileSystem) => {
      const store = await LocalStore.create(path, { fileSystem })
      const isThere = (await store.stat('config')) !== undefined
      if (!isThere) await Repository.init(store, ENCRYPTED)
      // Only the answer was lost: whoever is told that there is a repository already goes on to use it.
      else await backUp(await Repository.open(store, { keyFile: KEY_FILE }), NEW)
    },
    commits: NEW,
    missing: NOTHING_MISSING,
  },
  'backup, first': backupOf(NEW, 'empty'),
  'backup, unchanged': backupOf(CHANGED, 'used'),
  'backup, changed': backupOf(NEW, 'used'),
  'backup, checkpoints': backupOf(NEW, 'empty', { checkpointBytes: 50_000 }),
  forget: { world: 'used', run: onRepository(forgetOldest), missing: oldestIsListed, forgets: 1 },
  retention: {
    world: 'used',
    forgets: 1,
    run: onRepository(async (repo) => {
      const plan = await repo.planForget({ policy: { keepLast: 1 } })
      return (await repo.applyForget(plan)).length === 0 ? NOTHING_TO_DO : plan
    }),
    missing: oldestIsListed,
  },
  prune: {
    world: 'used',
    removes: /^(packs|index|sessions)\//,
    run: onRepository((repo) => repo.prune(undefined, PRUNE)),
    missing: unprunedBytes,
  },
  'repair index': {
    world: 'index-lost',
    removes: /^index\//,
    run: onRepository((repo) => repo.repairIndex()),
    missing: findingsOf,
  },
  'repair packs': repairOf('pack-damaged'),
  'repair packs, unlisted': repairOf('orphan-damaged'),
  'key add': {
    world: 'used',
    run: onRepository((repo) => repo.keys.add({ keyFile: OTHER_KEY_FILE })),
    missing: (repo) => opensWith(repo, OTHER_KEY_FILE, true),
  },
  'key change': {
    world: 'used',
    removes: /^keys\//,
    run: onRepository(async (repo) => {
      await repo.keys.change({ keyFile: OTHER_KEY_FILE })
    }),
    missing: async (repo) =>
      (await opensWith(repo, OTHER_KEY_FILE, true)) ?? (await opensWith(repo, KEY_FILE, false)),
  },
  'key remove': {
    world: 'used',
    removes: /^keys\//,
    run: onRepository(async (repo) => {
      const [slot] = await repo.keys.list()
      const other = await repo.keys.add({ keyFile: OTHER_KEY_FILE })
      await repo.keys.remove(other)
      if (slot === undefined) throw new Error('There is no key slot.')
    }),
    missing: async (repo) => ((await repo.keys.list()).length >= 1 ? undefined : 'a key slot'),
  },
  check: { world: 'used', run: onRepository(checkAll), missing: NOTHING_MISSING },
  restore: { world: 'used', run: onRepository(restoreAll), missing: NOTHING_MISSING },
  'read an image': { world: 'used', run: onRepository(readAll), missing: NOTHING_MISSING },
  stats: { world: 'used', run: onRepository((repo) => repo.stats()), missing: NOTHING_MISSING },
}

/** Another backup works, whatever went wrong before. */
export async function nextBackupWorks(repo: Repository): Promise<boolean> {
  const image = noise('the next one', 20_000)
  const { id } = await repo.backup(new MemorySource(image), { workers: 0, name: 'next' })
  return sameBytes(await restored(repo, id), image)
}
