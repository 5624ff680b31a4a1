import { readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { LocalStore, MemorySource } from '@platter/fs-adapters'
import type { Repository, Snapshot } from '@platter/repo'
import { collected, objectNames, restored, sameBytes } from '../adversity.ts'
import { campaignImage } from './campaign-image.ts'
import { type ChildSettings, openCampaign, type VerifyTask } from './child-settings.ts'
import type { Verified } from './journal.ts'

/** Every process but this one is dead, so there is nobody to wait for. */
const NOBODY_LIVES = { patienceSeconds: 0 } as const

/** Holds a repository, on which nobody works, against what was acknowledged. @throws what is wrong. */
export async function verify(settings: ChildSettings): Promise<Verified> {
  const task = settings.verify
  if (task === undefined) throw new Error('There is nothing to verify.')
  const { repo, key } = await openCampaign(settings, settings.keys)
  if (task.key !== undefined && (key ?? -1) < task.key)
    throw new Error(
      `The change to key ${task.key} was acknowledged, but only key ${key} opens the repository.`,
    )
  if (settings.damaged) await repo.repairIndex()
  const { unfinished } = await repo.planPrune(NOBODY_LIVES)
  const { snapshots, checkpoints } = await verifySnapshots(repo, task)
  await assertNothingFound(repo, true)
  const left = await temporaryFiles(settings.folder)
  if (task.recover) await recover(settings, repo, left)
  return {
    snapshots,
    checkpoints,
    unfinished: unfinished !== undefined,
    temporaryFiles: left.length,
    key,
  }
}

/** Everything committed is whole, everything acknowledged is there, everything forgotten is not. */
async function verifySnapshots(
  repo: Repository,
  { standing, forgotten }: VerifyTask,
): Promise<{ readonly snapshots: number; readonly checkpoints: number }> {
  const all = await collected(repo.snapshots({ checkpoints: true }))
  const images = new Map(all.map(({ id, tags }) => [id, tags[0]]))
  for (const [id, image] of standing) {
    if (images.get(id) !== image)
      throw new Error(`The snapshot ${id} of ${image} was acknowledged and is gone.`)
  }
  for (const id of forgotten)
    if (images.has(id)) throw new Error(`The snapshot ${id} was forgotten and is back.`)
  for (const snapshot of all) await verifySnapshot(repo, snapshot)
  const checkpoints = all.filter(({ checkpoint }) => checkpoint).length
  return { snapshots: all.length - checkpoints, checkpoints }
}

async function verifySnapshot(repo: Repository, { id, tags, checkpoint }: Snapshot): Promise<void> {
  const image = campaignImage(tags[0] ?? '')
  const bytes = await restored(repo, id)
  // A checkpoint is the beginning of its image.
  const expected = checkpoint ? image.subarray(0, bytes.length) : image
  if (!sameBytes(bytes, expected)) throw new Error(`The snapshot ${id} of ${tags[0]} restores other bytes.`)
}

async function assertNothingFound(repo: Repository, readData: boolean): Promise<void> {
  const { findings } = await repo.check({ readData, workers: 0 })
  if (findings.length > 0) throw new Error(`A check finds something: ${JSON.stringify(findings)}`)
}

/** Finishes what the dead left, and asserts that nothing of it remains. */
async function recover(settings: ChildSettings, repo: Repository, left: readonly string[]): Promise<void> {
  const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000)
  for (const path of left) await utimes(path, yesterday, yesterday)
  // Who opens the store anew removes what is a day old when it first writes.
  const { repo: next, key } = await openCampaign(settings, settings.keys)
  await next.prune(undefined, NOBODY_LIVES)
  const image = campaignImage('probe')
  const { id } = await next.backup(new MemorySource(image), { name: 'probe', workers: 0 })
  if (!sameBytes(await restored(next, id), image)) throw new Error('The next backup restores other bytes.')
  await next.forget(id)
  const { outcome } = await next.prune(undefined, NOBODY_LIVES)
  if (outcome === 'pending') throw new Error('A prune waits, although nobody is under way.')

  const { unfinished, writers } = await repo.planPrune(NOBODY_LIVES)
  if (unfinished !== undefined)
    throw new Error(`The prune ${unfinished} is still unfinished after another one.`)
  if (writers.length > 0) throw new Error(`Sessions are left open: ${JSON.stringify(writers)}`)
  const sessions = await objectNames(new LocalStore(settings.folder), 'sessions/')
  if (sessions.length > 0) throw new Error(`Records of dead sessions are left: ${sessions.join()}`)
  const temporary = await temporaryFiles(settings.folder)
  if (temporary.length > 0) throw new Error(`Temporary files are left: ${temporary.join()}`)
  if (key !== undefined) await removeOtherKeys(next)
  await assertNothingFound(repo, false)
}

/** Key changes that were killed leave slots behind. */
async function removeOtherKeys(repo: Repository): Promise<void> {
  for (const { id, inUse } of await repo.keys.list()) if (!inUse) await repo.keys.remove(id)
}

async function temporaryFiles(folder: string): Promise<string[]> {
  const path = join(folder, '.tmp')
  // The space kept back is no file under way.
  return (await readdir(path)).filter((name) => name !== 'reserve').map((name) => join(path, name))
}
