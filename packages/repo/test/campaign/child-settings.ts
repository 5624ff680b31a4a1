import type { SnapshotId } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { type InitOptions, Repository } from '@platter/repo'
import { noise } from '../adversity.ts'
import { CHUNK_BYTES } from './campaign-image.ts'
import type { Job } from './journal.ts'

/** What a process of a campaign is told when it is started. */
export interface ChildSettings {
  readonly folder: string
  readonly seed: string
  readonly job: Job
  /** Seed of this process's choices; also tells its images from all others. */
  readonly id: string
  /** Name of the images it backs up. */
  readonly name: string
  /** Numbers of the keys that may open the repository; none where it is not encrypted. */
  readonly keys: readonly number[]
  /** Share of prunes that take every writer for dead at once. */
  readonly impatient: number
  /** It ends after so many jobs, or when this time has passed, whichever comes first. */
  readonly iterations: number
  readonly minutes: number
  readonly verify?: VerifyTask
  /** Index segments have been damaged, so that errors that say so are right. */
  readonly damaged: boolean
}

/** What a verification is to hold the repository against. */
export interface VerifyTask {
  /** Acknowledged snapshots that nobody has begun to forget, and their images. */
  readonly standing: readonly (readonly [SnapshotId, string])[]
  readonly forgotten: readonly SnapshotId[]
  /** A key whose change was acknowledged: it must open the repository, unless a later one does. */
  readonly key: number | undefined
  /** Finish what the dead left, too; otherwise it is left to whoever comes next. */
  readonly recover: boolean
}

/** Small packs and regions, and chunks of one size, so that data comes back whole chunk by chunk. */
export function campaignInit(seed: string, encrypted: boolean): InitOptions {
  return {
    regionBytes: 4 * CHUNK_BYTES,
    packBytes: 64 * 1024,
    chunker: { kind: 'fixed', minBytes: CHUNK_BYTES, averageBytes: CHUNK_BYTES, maxBytes: CHUNK_BYTES },
    ...(encrypted ? { keyFile: keyFile(seed, 0) } : { crypto: 'none' }),
  }
}

/** The key of a number. */
export function keyFile(seed: string, key: number): Uint8Array {
  return noise(`${seed}|key ${key}`, 32)
}

/** A key that the repository opens with, newest first, and the repository. */
export async function openCampaign(
  { folder, seed }: Pick<ChildSettings, 'folder' | 'seed'>,
  keys: readonly number[],
): Promise<{ readonly repo: Repository; readonly key: number | undefined }> {
  if (keys.length === 0) return { repo: await Repository.open(new LocalStore(folder)), key: undefined }
  let failure: unknown
  // More than once: while one key is tried, another process may put a later one in its place.
  for (let tries = 0; tries < 3; tries++) {
    for (const key of keys.toSorted((a, b) => b - a)) {
      try {
        const repo = await Repository.open(new LocalStore(folder), { keyFile: keyFile(seed, key) })
        return { repo, key }
      } catch (error) {
        failure = error
      }
    }
  }
  throw failure
}
