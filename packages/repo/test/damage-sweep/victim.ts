// A very small repository that has an object of every kind, for altering every bit of it.
import type { PackId, SnapshotId } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type InitOptions, Repository } from '@platter/repo'
import { BLOB_TYPE } from '../../dist/format/blob-entry.js'
import { verifiedEntries } from '../../dist/pack/pack-uploader.js'
import {
  backUp,
  ENCRYPTED,
  KEY_FILE,
  keysOf,
  noise,
  objectNames,
  replaceObject,
  SETTINGS,
} from '../adversity.ts'

export interface Victim {
  readonly store: MemoryStore
  readonly snapshots: ReadonlyMap<SnapshotId, Uint8Array>
  /**
   * Objects that no check looks at, as nothing depends on them: packs that a repair has put aside, which are damaged
   * already, and the records of snapshots that are forgotten.
   */
  readonly unchecked: readonly string[]
}

const PRUNE = { patienceSeconds: 0, maxUnusedFraction: 0 }

export async function openVictim(store: MemoryStore, isEncrypted: boolean): Promise<Repository> {
  return await Repository.open(store, isEncrypted ? { keyFile: KEY_FILE } : {})
}

export async function makeVictim(isEncrypted: boolean): Promise<Victim> {
  const settings: InitOptions = isEncrypted ? ENCRYPTED : SETTINGS
  const store = new MemoryStore()
  await Repository.init(store, settings)
  const repo = await openVictim(store, isEncrypted)
  if (isEncrypted) {
    await repo.keys.add({ keyFile: noise('second key file', 32) })
    await repo.keys.remove(await repo.keys.add({ keyFile: noise('third key file', 32) }))
  }

  // A generation that moved something: a mark, a sweep, a fence of the collector's and one of a dead writer's.
  const image = noise('kept', 1000)
  const whole = await backUp(repo, noise('garbage', 500), { name: 'garbage' })
  const kept = await backUp(repo, image, { name: 'kept' })
  await diedBackup(store, isEncrypted, 4)
  await repo.forget(whole.id)
  await repo.prune(undefined, PRUNE)

  // A damaged pack, put aside; the mark of the snapshot, and the one that takes it back.
  const other = noise('other', 700)
  const packKey = isEncrypted ? (await keysOf(store)).pack : undefined
  const before = await objectNames(store, 'packs/')
  const { id } = await backUp(repo, other, { name: 'other' })
  for (const name of await objectNames(store, 'packs/')) {
    const bytes = await store.get(name)
    const [first] = verifiedEntries(name.slice(-64) as PackId, bytes, packKey)
    if (before.includes(name) || first!.type !== BLOB_TYPE.chunk) continue
    bytes[200]! ^= 1
    await replaceObject(store, name, bytes)
  }
  await repo.repairPacks({ workers: 0 })
  const again = await backUp(repo, other, { name: 'again' })
  await repo.repairPacks({ workers: 0 })
  const quarantined = (await objectNames(store, 'quarantine/')).map((name) => {
    const pack = name.slice('quarantine/'.length)
    return `packs/${pack.slice(0, 2)}/${pack}`
  })

  // A writer that may still commit, with a pack that it listed.
  await diedBackup(store, isEncrypted, 4)
  await repo.close()
  return {
    store,
    unchecked: [...quarantined, `snapshots/${whole.id}`],
    snapshots: new Map([
      [kept.id, image],
      [id, other],
      [again.id, other],
    ]),
  }
}

async function diedBackup(store: MemoryStore, isEncrypted: boolean, changes: number): Promise<void> {
  const faults = new FaultStore(store)
  faults.crashAt({ afterOperations: changes, counting: 'changes' })
  const repo = await Repository.open(faults, isEncrypted ? { keyFile: KEY_FILE } : {})
  await backUp(repo, noise(`died ${Math.random()}`, 300), { name: 'died' }).catch(() => {})
}
