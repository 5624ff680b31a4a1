import type { SnapshotId, Store } from '@platter/core'
import { MemorySource } from '@platter/fs-adapters'
import { type OpenOptions, type PruneOptions, Repository } from '@platter/repo'
import type { BlockImage, ImageMaker } from './block-images.ts'
import { bytesOf } from './block-images.ts'
import { type Attempt, type Ledger, restored, Violation } from './ledger.ts'
import type { ActorKind } from './profile.ts'
import type { RandomStream } from './random-stream.ts'

/** What an actor has to work with. */
export interface Errand {
  readonly store: Store
  readonly options: OpenOptions
  readonly ledger: Ledger
  readonly random: RandomStream
  readonly images: ImageMaker
  /** Images that were backed up, those forgotten too. */
  readonly known: BlockImage[]
  readonly name: string
  readonly impatient: boolean
}

/** What each kind of actor does with the public interface of a repository. */
export async function runErrand(kind: ActorKind, errand: Errand): Promise<unknown> {
  const { store, options } = errand
  const repo = await Repository.open(store, options)
  switch (kind) {
    case 'backup':
      return await backup(repo, errand, false)
    case 'long backup':
      return await backup(repo, errand, true)
    case 'forget':
      return await forget(repo, errand)
    case 'prune':
      return await repo.prune(undefined, pruneOptions(errand, false))
    case 'patient prune':
      return await repo.prune(undefined, pruneOptions(errand, true))
    case 'repair index':
      return await repo.repairIndex()
    case 'repair packs':
      return await repo.repairPacks({ workers: 0 })
    case 'restore':
      return await restore(repo, errand)
    case 'check':
      return await repo.check({ workers: 0, readData: errand.random.chance(0.5) })
    case 'keys':
      return await changeKeys(repo, errand)
  }
}

async function backup(repo: Repository, errand: Errand, isLong: boolean): Promise<SnapshotId> {
  const { ledger, images, known, name, random } = errand
  const image = isLong ? images.makeLong(known) : images.make(known)
  known.push(image)
  const attempt: Attempt = ledger.begin(name, bytesOf(image))
  try {
    const { id } = await repo.backup(new MemorySource(attempt.image), {
      workers: 0,
      name,
      ...(isLong ? { checkpointBytes: random.pick([1, 20_000]) } : {}),
    })
    ledger.committed.set(id, attempt)
    return id
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SESSION_FENCED') attempt.fenced = true
    throw error
  }
}

async function forget(repo: Repository, { ledger, random }: Errand): Promise<void> {
  const ids = ledger.promised()
  if (ids.length === 0) return
  const id = random.pick(ids)
  ledger.forgetBegun.add(id)
  await repo.forget(id)
  ledger.forgotten.add(id)
}

function pruneOptions({ random, impatient }: Errand, wait: boolean): PruneOptions {
  return {
    maxUnusedFraction: random.pick([0, 0, 0.2, 1]),
    maxRepackBytes: random.pick([2 ** 30, 2 ** 30, 20_000, 0]),
    ...(impatient ? { patienceSeconds: 0 } : {}),
    ...(wait ? { wait, patienceSeconds: random.pick([60, 3600]) } : {}),
  }
}

async function restore(repo: Repository, { ledger, random }: Errand): Promise<void> {
  const ids = ledger.promised()
  if (ids.length === 0) return
  const id = random.pick(ids)
  try {
    const bytes = await restored(repo, id)
    if (Buffer.compare(bytes, ledger.committed.get(id)!.image) !== 0)
      throw new Violation(`A restore of ${id} gave other bytes than were backed up.`)
  } catch (error) {
    // What is forgotten meanwhile may go while it is read.
    if (error instanceof Violation || !ledger.forgetBegun.has(id)) throw error
  }
}

async function changeKeys(repo: Repository, { random }: Errand): Promise<void> {
  const other = new Uint8Array(32).fill(random.between(2, 250))
  const id = await repo.keys.add({ keyFile: other })
  await repo.keys.list()
  if (random.chance(0.7)) await repo.keys.remove(id)
}
