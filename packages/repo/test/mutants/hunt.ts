import { spawn } from 'node:child_process'
import { type Failure, type Job, runCampaign, type SeedJob, seedJobs } from '../simulation/campaign.ts'
import type { Ground, Mutant, TestGround } from './mutant.ts'
import { literally, type MutatedCopy, makeCopy } from './mutated-copy.ts'

export interface HuntOptions {
  readonly firstSeed: number
  /** Seeds after which a mutant counts as not caught. */
  readonly maxSeeds: number
  /** The same for ways to play a scene. Default: all. */
  readonly maxPlays?: number
  readonly jobs?: number
}

/** What became of the search for a mutant. */
export interface Hunted {
  readonly mutant: Mutant
  /** What caught it; undefined when nothing did. */
  readonly caughtBy: string | undefined
  /** What went wrong then. */
  readonly problem: string | undefined
  /** Histories until then; undefined where a test file was run. */
  readonly histories: number | undefined
  readonly seconds: number
}

/** Runs code without a rule until something goes wrong. */
export async function hunt(mutant: Mutant, options: HuntOptions): Promise<Hunted> {
  await using copy = await makeCopy(mutant)
  const started = performance.now()
  const found = await huntIn(copy, mutant.ground, options)
  return { mutant, ...found, seconds: (performance.now() - started) / 1000 }
}

/** Runs the unchanged code where a mutant was caught. @returns what went wrong; undefined when all went well. */
export async function huntNothing(
  ground: Ground | undefined,
  options: HuntOptions,
): Promise<string | undefined> {
  await using copy = await makeCopy()
  return (await huntIn(copy, ground, options)).problem
}

type Found = Pick<Hunted, 'caughtBy' | 'problem' | 'histories'>

async function huntIn(
  copy: MutatedCopy,
  ground: Ground | undefined,
  { firstSeed, maxSeeds, maxPlays, jobs }: HuntOptions,
): Promise<Found> {
  if (ground !== undefined && 'test' in ground) return await runTest(copy, ground)
  const work = jobsOn(ground, { from: firstSeed, to: firstSeed + maxSeeds - 1 }, maxPlays)
  let first: Failure | undefined
  const { histories } = await runCampaign(work, {
    child: copy.testFile('simulation/child.js'),
    stopAtFailure: true,
    ...(jobs === undefined ? {} : { jobs }),
    onFailure: (failure) => {
      first ??= failure
    },
  })
  return {
    caughtBy: first?.history,
    problem: first?.problem,
    histories: histories + (first?.number ?? 0),
  }
}

function jobsOn(
  ground: Exclude<Ground, TestGround> | undefined,
  seeds: SeedJob,
  maxPlays: number | undefined,
): Job[] {
  if (ground === undefined) return seedJobs(seeds)
  if ('plot' in ground) return seedJobs({ ...seeds, plot: ground.plot })
  if ('scene' in ground) {
    const most = maxPlays === undefined ? {} : { most: maxPlays }
    return [{ switches: { scene: ground.scene, part: 0, of: 1, ...most } }]
  }
  return [{ sweep: { operation: ground.sweep, medium: 'disk', second: false, part: 0, of: 1 } }]
}

async function runTest(copy: MutatedCopy, { test, title }: TestGround): Promise<Found> {
  // However slow the machine is, what counts is what goes wrong.
  const env = { ...process.env, TAP_TIMEOUT: '3600', TMPDIR: copy.temporaryFolder }
  const child = spawn(process.execPath, [copy.testFile(test)], {
    env: title === undefined ? env : { ...env, TAP_GREP: onlyOf(title), TAP_FILTER_QUIETLY: '1' },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let output = ''
  child.stdout.on('data', (piece) => {
    output += piece
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  if (code === 0) return { caughtBy: undefined, problem: undefined, histories: undefined }
  const failed = /^ *not ok \d+ - (.*)$/m.exec(output)?.[1]
  return { caughtBy: test, problem: failed ?? `It ended with ${code}.`, histories: undefined }
}

/** What has tap run the test of one title alone. */
function onlyOf(title: string): string {
  return `/^${literally(title)}$/`
}
