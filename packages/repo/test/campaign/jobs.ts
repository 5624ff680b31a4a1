import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, PlatterError, type SnapshotId } from '@platter/core'
import { MemorySource } from '@platter/fs-adapters'
import type { Repository } from '@platter/repo'
import { collected, restored, sameBytes } from '../adversity.ts'
import { campaignImage, imageLabel } from './campaign-image.ts'
import { type ChildSettings, keyFile } from './child-settings.ts'
import type { Dice } from './dice.ts'
import { type Job, tell } from './journal.ts'

/** What a job works with. */
export interface JobContext {
  readonly settings: ChildSettings
  readonly repo: Repository
  readonly dice: Dice
  /** Number of the job within its process. */
  readonly number: number
}

/** Snapshots of each image that a forget leaves. */
const KEEP_LAST = 2

/** What each job may fail with beside others: refusals that lose nothing. All other errors are wrong. */
const RIGHT_ERRORS: Readonly<Record<Job, readonly ErrorCode[]>> = {
  // A prune took the backup for dead.
  backup: ['ERR_SESSION_FENCED'],
  prune: [],
  // Another process has forgotten what the plan keeps.
  forget: ['ERR_INVALID_ARGUMENT'],
  repair: ['ERR_SESSION_FENCED'],
  rekey: [],
  read: [],
  verify: [],
}

/** What is right besides while index segments are missing or damaged. */
const RIGHT_WHEN_DAMAGED: readonly ErrorCode[] = ['ERR_CHUNK_MISSING', 'ERR_CORRUPT_INDEX']

/** What reading a snapshot may fail with once it is forgotten. Wrong bytes are never right. */
const RIGHT_WHEN_FORGOTTEN: readonly ErrorCode[] = [
  'ERR_CHUNK_MISSING',
  'ERR_SNAPSHOT_NOT_FOUND',
  // The pack that the index named.
  'ERR_NOT_FOUND',
]

/** Outcomes after which doing the same again at once brings nothing. */
export const IDLE: ReadonlySet<string> = new Set([
  'nothing',
  'pending',
  'ERR_CHUNK_MISSING',
  'ERR_CORRUPT_INDEX',
])
const IDLE_MILLIS = 100

/** Does one job and tells what came of it. @throws what must not happen. */
export async function runJob(context: JobContext): Promise<void> {
  const { job, damaged } = context.settings
  if (job === 'verify') throw new Error('A verification is no job among others.')
  const started = performance.now()
  tell({ event: 'begin', job })
  const outcome = await WORK[job](context).catch((error: unknown) => {
    const right = [...RIGHT_ERRORS[job], ...(damaged ? RIGHT_WHEN_DAMAGED : [])]
    const code = right.find((code) => PlatterError.is(error, code))
    if (code === undefined) throw error
    return code
  })
  tell({ event: 'end', job, outcome, millis: performance.now() - started })
  if (IDLE.has(outcome)) await delay(IDLE_MILLIS)
}

/** Each does its job once and says how it ended. */
const WORK: Readonly<Record<Exclude<Job, 'verify'>, (context: JobContext) => Promise<string>>> = {
  async backup({ settings: { seed, id, name }, repo, dice, number }) {
    const image = imageLabel(seed, name, `${id}.${number}`)
    const { id: snapshot } = await repo.backup(new MemorySource(campaignImage(image)), {
      name,
      host: 'campaign',
      tags: [image],
      workers: dice.chance(0.1) ? 2 : 0,
      ...(dice.chance(0.5) ? { checkpointBytes: 10_000 } : {}),
      ...(dice.chance(0.3) ? { heartbeatSeconds: 0.02 } : {}),
      onProgress: phaseTeller('backup'),
      progressMillis: 0,
    })
    tell({ event: 'acknowledged', snapshot, image })
    return 'done'
  },

  async prune({ settings: { impatient }, repo, dice }) {
    const tellPhase = phaseTeller('prune')
    const { outcome } = await repo.prune(undefined, {
      ...(dice.chance(impatient) ? { patienceSeconds: 0 } : {}),
      ...(dice.chance(0.7) ? { maxUnusedFraction: 0 } : {}),
      ...(dice.chance(0.3) ? { wait: true, pollMillis: 20 } : {}),
      onProgress: tellPhase,
      // Before the first object goes; the progress comes after it.
      onRemove: () => tellPhase({ phase: 'removing' }),
    })
    return outcome
  },

  async forget({ repo, dice }) {
    const sizes = dice.chance(0.3)
    const plan = await repo.planForget({ policy: { keepLast: KEEP_LAST } }, { sizes })
    const snapshots = plan.snapshots.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.id)
    tell({ event: 'forgetting', snapshots })
    tell({ event: 'forgotten', snapshots: await repo.applyForget(plan) })
    return snapshots.length > 0 ? 'done' : 'nothing'
  },

  async repair({ repo }) {
    const options = { onProgress: phaseTeller('repair'), progressMillis: 0 }
    const { segmentsWritten, segmentsReplaced } = await repo.repairIndex(options)
    return segmentsWritten + segmentsReplaced.length > 0 ? 'done' : 'nothing'
  },

  async rekey({ settings: { seed, keys }, repo, number }) {
    const key = Math.max(...keys) + 1 + number
    tell({ event: 'rekeying', key })
    await repo.keys.change({ keyFile: keyFile(seed, key) })
    tell({ event: 'rekeyed', key })
    return 'done'
  },

  async read({ repo, dice }) {
    const all = await collected(repo.snapshots())
    if (all.length === 0) return 'nothing'
    const { id, tags } = dice.pick(all)
    const expected = campaignImage(tags[0] ?? '')
    try {
      if (dice.chance(0.6)) await readWhole(repo, id, expected, dice)
      else await readInPlaces(repo, id, expected, dice)
      return 'done'
    } catch (error) {
      const code = RIGHT_WHEN_FORGOTTEN.find((code) => PlatterError.is(error, code))
      // Forgetting comes before removing, so whoever missed something for this reason finds the snapshot gone.
      if (code === undefined || (await isListed(repo, id))) throw error
      return `forgotten meanwhile, ${code}`
    }
  },
}

async function readWhole(repo: Repository, id: SnapshotId, expected: Uint8Array, dice: Dice): Promise<void> {
  const bytes = await restored(repo, id, dice.chance(0.1) ? 2 : 0)
  if (!sameBytes(bytes, expected)) throw new Error(`The snapshot ${id} restores other bytes.`)
}

/** Keeps an image open for a while, so that prunes come and go meanwhile. */
async function readInPlaces(
  repo: Repository,
  id: SnapshotId,
  expected: Uint8Array,
  dice: Dice,
): Promise<void> {
  await using image = await repo.openImage(id, { cacheBytes: 0 })
  for (let reads = 0; reads < 8; reads++) {
    const offset = dice.below(expected.length)
    const length = dice.below(100_000)
    const bytes = await image.read(offset, length)
    if (!sameBytes(bytes, expected.subarray(offset, offset + length)))
      throw new Error(`The image of ${id} reads other bytes at ${offset}.`)
    await delay(dice.below(40))
  }
}

async function isListed(repo: Repository, id: SnapshotId): Promise<boolean> {
  for await (const snapshot of repo.snapshots()) if (snapshot.id === id) return true
  return false
}

/** Tells each phase once it begins. */
function phaseTeller(job: Job): (progress: { readonly phase: string }) => void {
  let last = ''
  return ({ phase }) => {
    if (phase !== last) tell({ event: 'phase', job, phase })
    last = phase
  }
}
