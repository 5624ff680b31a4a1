// Repositories in folders for the campaign of failing system calls, and copies of them.
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SnapshotId } from '@platter/core'
import { LocalStore, MemorySource } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { backUp, diskImage, ENCRYPTED, KEY_FILE, noise, objectNames, replaceObject } from '../adversity.ts'

/** What a repository looks like when an operation begins. */
export type WorldName = 'nothing' | 'empty' | 'used' | 'index-lost' | 'pack-damaged' | 'orphan-damaged'

/** A repository in a folder, to be copied and not to be changed. */
export interface World {
  readonly folder: string
  /** The snapshots in it, and what each must restore to. */
  readonly snapshots: ReadonlyMap<SnapshotId, Uint8Array>
  /** Those of them that cannot be restored as long as nothing is repaired. */
  readonly broken: ReadonlySet<SnapshotId>
  /** A check finds something as long as nothing is repaired. */
  readonly isDamaged: boolean
}

const OLD = diskImage('old', 150_001)
/** Shares most of its data with the older one. */
export const CHANGED: Uint8Array = changed(OLD)
const GARBAGE = noise('garbage', 60_000)
/** An image that no snapshot has. */
export const NEW: Uint8Array = diskImage('new', 170_001)
/** What heals a damaged pack. */
export const healingSource = (): MemorySource => new MemorySource(OLD)

function changed(image: Uint8Array<ArrayBuffer>): Uint8Array {
  const copy = image.slice()
  copy.set(noise('change', 9000), 8192)
  return copy
}

/** Makes every world once, in a temporary folder. In memory where there is such a file system. */
export async function makeWorlds(): Promise<{
  readonly root: string
  readonly worlds: Readonly<Record<WorldName, World>>
}> {
  const root = mkdtempSync(join(hasSharedMemory() ? '/dev/shm' : tmpdir(), 'io-campaign-'))
  const folder = (name: WorldName): string => join(root, name)
  const empty = await LocalStore.create(folder('empty'))
  await Repository.init(empty, ENCRYPTED)

  copyFolder(folder('empty'), folder('used'))
  const snapshots = await fill(new LocalStore(folder('used')))

  copyFolder(folder('used'), folder('index-lost'))
  const lost = new LocalStore(folder('index-lost'))
  await lost.delete((await objectNames(lost, 'index/'))[0]!)

  copyFolder(folder('used'), folder('pack-damaged'))
  await damagePack(new LocalStore(folder('pack-damaged')), true)
  copyFolder(folder('used'), folder('orphan-damaged'))
  await damagePack(new LocalStore(folder('orphan-damaged')), false)
  const none = new Set<SnapshotId>()
  const all = new Set(snapshots.keys())
  const worlds = {
    nothing: {
      folder: folder('nothing'),
      snapshots: new Map<SnapshotId, Uint8Array>(),
      broken: none,
      isDamaged: false,
    },
    empty: {
      folder: folder('empty'),
      snapshots: new Map<SnapshotId, Uint8Array>(),
      broken: none,
      isDamaged: false,
    },
    used: { folder: folder('used'), snapshots, broken: none, isDamaged: false },
    'index-lost': { folder: folder('index-lost'), snapshots, broken: all, isDamaged: true },
    'pack-damaged': { folder: folder('pack-damaged'), snapshots, broken: all, isDamaged: true },
    'orphan-damaged': { folder: folder('orphan-damaged'), snapshots, broken: none, isDamaged: true },
  }
  return { root, worlds }
}

/** Two snapshots that share data; a third one forgotten; and what a backup left that died. */
async function fill(store: LocalStore): Promise<Map<SnapshotId, Uint8Array>> {
  const repo = await Repository.open(store, { keyFile: KEY_FILE })
  const old = await backUp(repo, OLD)
  const { id } = await backUp(repo, GARBAGE, { name: 'garbage' })
  const newer = await backUp(repo, CHANGED)
  await repo.forget(id)
  const dying = new FaultStore(store)
  dying.crashAt({ afterOperations: 3, counting: 'changes' })
  const died = backUp(await Repository.open(dying, { keyFile: KEY_FILE }), noise('died', 90_000))
  await died.catch(() => {})
  return new Map([
    [old.id, OLD],
    [newer.id, CHANGED],
  ])
}

/** Damages the largest pack that a snapshot needs, or that none does: a dead writer's, which no index lists. */
async function damagePack(store: LocalStore, isNeeded: boolean): Promise<void> {
  const packs: { name: string; sizeBytes: number }[] = []
  for await (const stat of store.list('packs/')) packs.push(stat)
  packs.sort((a, b) => b.sizeBytes - a.sizeBytes || (a.name < b.name ? -1 : 1))
  for (const { name } of packs) {
    const bytes = await store.get(name)
    bytes[bytes.length >>> 1]! ^= 1
    await replaceObject(store, name, bytes)
    await using repo = await Repository.open(store, { keyFile: KEY_FILE })
    const { findings } = await repo.check({ readData: true, workers: 0 })
    if (findings.some(({ snapshots }) => snapshots.length > 0) === isNeeded) return
    bytes[bytes.length >>> 1]! ^= 1
    await replaceObject(store, name, bytes)
  }
  throw new Error('There is no such pack.')
}

function hasSharedMemory(): boolean {
  try {
    readdirSync('/dev/shm')
    return true
  } catch {
    return false
  }
}

/** Copies a folder by hard links: objects are never written to again. What is not there is not copied. */
export function copyFolder(from: string, to: string): void {
  const entries = readFolder(from)
  if (entries === undefined) return
  mkdirSync(to, { recursive: true })
  for (const entry of entries) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) copyFolder(source, target)
    else linkSync(source, target)
  }
}

function readFolder(path: string): ReturnType<typeof readWithTypes> | undefined {
  try {
    return readWithTypes(path)
  } catch {
    return undefined
  }
}

function readWithTypes(path: string) {
  return readdirSync(path, { withFileTypes: true })
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true })
}
