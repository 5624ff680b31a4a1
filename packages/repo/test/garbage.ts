// A repository with something to prune, and a backup that shares data with what is about to go.
import { MemoryStore } from '@platter/fs-adapters'
import type { PruneOptions, Snapshot } from '@platter/repo'
import { backUp, diskImage, newRepository, noise } from './adversity.ts'

/** Takes every writer that has not committed for dead at once. */
export const IMPATIENT: PruneOptions = { patienceSeconds: 0 }

export const KEPT = diskImage('kept', 120_000)
export const GONE = diskImage('gone', 120_000)
/** Shares data with a snapshot that is forgotten, so that what it relies on is about to be condemned. */
export const NEW = Uint8Array.from(GONE)
NEW.set(noise('new', 20_000), 0)

/** A snapshot of `KEPT`, and packs of another, of `GONE`, that is forgotten. */
export async function withGarbage(): Promise<{ readonly store: MemoryStore; readonly kept: Snapshot }> {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const kept = await backUp(repo, KEPT, { name: 'kept' })
  const gone = await backUp(repo, GONE, { name: 'gone' })
  await repo.forget(gone.id)
  return { store, kept }
}
