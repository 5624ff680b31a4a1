// One operation with one failing system call, and what must be true of it.
import { readdirSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { type ErrorCode, PlatterError, type SnapshotId } from '@platter/core'
import { LocalStore, type StoreFileSystem } from '@platter/fs-adapters'
import { FaultFileSystem, type FaultPoint, PowerCutFileSystem } from '@platter/fs-adapters/testing'
import type { Repository } from '@platter/repo'
import { collected, objectNames, restored, sameBytes } from '../adversity.ts'
import { NOTHING_TO_DO, nextBackupWorks, type Operation, openAny, STORES } from './operations.ts'
import { copyFolder, removeFolder, type World } from './worlds.ts'

export interface Trial {
  readonly operation: Operation
  readonly world: World
  readonly fault: FaultPoint | undefined
  /** Whether the power is cut after the failure, too, so that what was not durable then is gone for good. */
  readonly cutBetween: boolean
  /** A folder for the copy of the world, which is removed afterwards. */
  readonly path: string
}

export interface Outcome {
  /** 'success', or the code of the error. */
  readonly code: string
  /** The call that was hit; undefined when the operation never came so far. */
  readonly hit: string | undefined
  /** What was wrong; empty when all is as it must be. */
  readonly problems: readonly string[]
  /** The calls that were made, in order. */
  readonly calls: FaultFileSystem['log']
}

/** The code that a failure of the system must be told by. */
const TRUE_CODES: Readonly<Record<string, readonly ErrorCode[]>> = {
  ENOSPC: ['ERR_STORE_FULL'],
  EDQUOT: ['ERR_STORE_FULL'],
  EACCES: ['ERR_STORE_ACCESS'],
  // A link that cannot be made says that the file system is of the wrong kind.
  EXDEV: ['ERR_STORE_UNSUPPORTED', 'ERR_STORE_IO'],
}

/**
 * Does an operation on a copy of a world while a call fails, and looks at what is left. Then the fault is gone, the
 * operation is done again, and the power is cut: what succeeded has to be durable.
 */
export async function runTrial({ operation, world, fault, cutBetween, path }: Trial): Promise<Outcome> {
  copyFolder(world.folder, path)
  const before = await namesIn(path)
  const disk = new PowerCutFileSystem(`${path}.removed`)
  const faulty = new FaultFileSystem(fault, undefined, disk)
  const problems: string[] = []
  try {
    faulty.arm()
    const error = await operation.run(path, faulty, world).then(
      () => undefined,
      (reason: unknown) => reason ?? new Error('nothing was thrown'),
    )
    faulty.disarm()
    const code = error === undefined ? 'success' : error instanceof PlatterError ? error.code : String(error)
    if (error !== undefined) problems.push(...untruths(error, fault))
    if (error === undefined || cutBetween) await disk.cutPower()
    if (error !== undefined) problems.push(...(await removedWrongly(operation, before, path)))
    problems.push(...(await judge(operation, world, path, error === undefined)))

    makeTemporariesOld(path)
    const again = await operation.run(path, disk, world).catch((reason: unknown) => reason)
    if (again instanceof Error) problems.push(`done again: ${again}`)
    await disk.cutPower()
    problems.push(...(await judge(operation, world, path, again !== NOTHING_TO_DO)))
    problems.push(...(await leftBehind(path, disk)))
    const hit = faulty.hit && `${faulty.hit.call} of ${faulty.hit.path.replace(path, '')}`
    return { code, hit, problems, calls: faulty.log }
  } finally {
    removeFolder(path)
    removeFolder(`${path}.removed`)
  }
}

/** What is wrong with the error that was told. */
function untruths(error: unknown, fault: FaultPoint | undefined): string[] {
  if (!(error instanceof PlatterError)) return [`an error without type: ${error}`]
  if (fault === undefined) return [`failed without a fault: ${error.message}`]
  const expected = TRUE_CODES[fault.code] ?? ['ERR_STORE_IO']
  const problems: string[] = []
  if (!expected.includes(error.code)) problems.push(`${error.code} for ${fault.code}: ${error.message}`)
  const { systemCode, object, path } = error.details
  if (systemCode !== fault.code) problems.push(`it does not name ${fault.code}: ${error.message}`)
  if (object === undefined && path === undefined) problems.push(`it names no object: ${error.message}`)
  return problems
}

/** A prune removes nothing that no sweep names, others only what they may. */
async function removedWrongly(
  { removes }: Operation,
  before: readonly string[],
  path: string,
): Promise<string[]> {
  const after = await namesIn(path)
  const isSwept = after.some((name) => /^gc\/.*sweep$/.test(name))
  return before
    .filter((name) => !after.includes(name))
    .filter((name) => !(removes?.test(name) ?? false) || (/^packs\//.test(name) && !isSwept))
    .map((name) => `${name} was removed`)
}

/** Everything that must hold of a repository, whether the operation failed or not. */
async function judge(
  operation: Operation,
  world: World,
  path: string,
  succeeded: boolean,
): Promise<string[]> {
  const store = new LocalStore(path)
  let repo: Repository
  try {
    repo = await openAny(store)
  } catch (error) {
    const isNone =
      PlatterError.is(error, 'ERR_REPOSITORY_NOT_FOUND') || PlatterError.is(error, 'ERR_NOT_FOUND')
    if (world.snapshots.size === 0 && operation.world === 'nothing' && isNone && !succeeded) return []
    return [`it cannot be opened: ${error}`]
  }
  STORES.set(repo, store)
  try {
    const problems = await judgeSnapshots(operation, world, repo, succeeded)
    if (succeeded || !world.isDamaged) {
      const { findings } = await repo.check({ readData: true, workers: 0 })
      for (const { message } of findings) problems.push(`the check finds: ${message}`)
    }
    const missing = succeeded ? await operation.missing(repo, world) : undefined
    if (missing !== undefined) problems.push(`it succeeded, but lacks ${missing}`)
    return problems
  } catch (error) {
    return [`it cannot be read: ${error}`]
  } finally {
    await repo.close()
  }
}

async function judgeSnapshots(
  { commits, forgets = 0 }: Operation,
  { snapshots, broken }: World,
  repo: Repository,
  succeeded: boolean,
): Promise<string[]> {
  const problems: string[] = []
  const listed = await collected(repo.snapshots({ checkpoints: true }))
  const ids = new Set<SnapshotId>(listed.map(({ id }) => id))
  const mayGo = new Set([...snapshots.keys()].slice(0, forgets))
  for (const [id, image] of snapshots) {
    if (!ids.has(id)) {
      if (!mayGo.has(id)) problems.push(`the snapshot ${id} is gone`)
    } else if (succeeded || !broken.has(id)) {
      if (!sameBytes(await restored(repo, id), image)) problems.push(`${id} restores other bytes`)
    }
  }
  for (const { id, checkpoint } of listed) {
    if (snapshots.has(id)) continue
    const bytes = await restored(repo, id)
    const expected = checkpoint ? commits?.subarray(0, bytes.length) : commits
    if (expected === undefined || !sameBytes(bytes, expected)) problems.push(`${id} was not to be committed`)
  }
  return problems
}

/** Makes temporary files look two days old, so that the next writer takes them for left behind. */
function makeTemporariesOld(path: string): void {
  const old = Date.now() / 1000 - 2 * 24 * 60 * 60
  for (const name of temporaries(path)) utimesSync(join(path, '.tmp', name), old, old)
}

/** Temporary files that the next writer does not remove, and a next backup that does not work. */
async function leftBehind(path: string, fileSystem: StoreFileSystem): Promise<string[]> {
  const repo = await openAny(new LocalStore(path, { fileSystem }))
  try {
    const problems = (await nextBackupWorks(repo)) ? [] : ['the next backup does not restore']
    const left = temporaries(path)
    return left.length === 0 ? problems : [...problems, `temporary files are left: ${left.join()}`]
  } catch (error) {
    return [`the next backup fails: ${error}`]
  } finally {
    await repo.close()
  }
}

function temporaries(path: string): string[] {
  try {
    return readdirSync(join(path, '.tmp')).filter((name) => name !== 'reserve')
  } catch {
    return []
  }
}

async function namesIn(path: string): Promise<string[]> {
  return await objectNames(new LocalStore(path)).catch(() => [])
}
