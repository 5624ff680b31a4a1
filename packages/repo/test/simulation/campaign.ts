import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { bareNode } from '../bare-node.ts'
import type { Plot } from './profile.ts'
import type { SweepPart } from './sweep.ts'
import type { SwitchPart } from './switches.ts'

/** Seeds that one child process plays. */
export interface SeedJob {
  readonly from: number
  readonly to: number
  /** Only seeds whose history goes like this. */
  readonly plot?: Plot | undefined
  /** Print what happens, step by step. */
  readonly trace?: boolean
}

/** What one child process does. */
export type Job = SeedJob | { readonly sweep: SweepPart } | { readonly switches: SwitchPart }

/** A history that went wrong. */
export interface Failure {
  /** Which one it was. */
  readonly history: string
  /** Histories of its job until then, itself included. */
  readonly number: number
  readonly problem: string
}

export interface Summary {
  readonly histories: number
  readonly steps: number
  /** Of the last history. */
  readonly hash: string
  /** How often what happened. */
  readonly counts: Readonly<Record<string, number>>
}

export interface CampaignOptions {
  /** Processes at once. Default 1. */
  readonly jobs?: number
  readonly onFailure?: (failure: Failure) => void
  readonly onProgress?: (historiesDone: number) => void
  readonly onTrace?: (line: string) => void
  /** Ends the campaign at the first failure. */
  readonly stopAtFailure?: boolean
  /** The built tests to run instead of these: those of a mutant. */
  readonly child?: string
}

export interface CampaignResult extends Summary {
  readonly failures: readonly Failure[]
}

/** A child plays so many; what they leave behind in its memory goes with it. */
const HISTORIES_PER_CHILD = 500
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url))

/** The histories of some seeds, in parts for child processes. */
export function seedJobs({ from, to, plot, trace }: SeedJob): Job[] {
  const jobs: Job[] = []
  for (let at = from; at <= to; at += HISTORIES_PER_CHILD)
    jobs.push({ from: at, to: Math.min(to, at + HISTORIES_PER_CHILD - 1), plot, ...(trace ? { trace } : {}) })
  return jobs
}

/** Does jobs in child processes. */
export async function runCampaign(
  work: readonly Job[],
  options: CampaignOptions = {},
): Promise<CampaignResult> {
  const failures: Failure[] = []
  const counts: Record<string, number> = {}
  let [histories, steps, hash] = [0, 0, '']
  const jobs = [...work]
  const runAll = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      const summary = await runChild(job, options, (failure) => {
        failures.push(failure)
        options.onFailure?.(failure)
        if (options.stopAtFailure) jobs.length = 0
      })
      histories += summary.histories
      steps += summary.steps
      hash = summary.hash
      for (const [name, count] of Object.entries(summary.counts)) counts[name] = (counts[name] ?? 0) + count
      options.onProgress?.(histories)
    }
  }
  await Promise.all(Array.from({ length: options.jobs ?? 1 }, runAll))
  return { histories, steps, hash, counts, failures }
}

async function runChild(
  job: Job,
  { child: script = CHILD, onTrace, stopAtFailure = false }: CampaignOptions,
  onFailure: (failure: Failure) => void,
): Promise<Summary> {
  const child = spawn(...bareNode(script, JSON.stringify(job)), { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  let found: Summary | undefined
  let isOver = false
  for await (const text of createInterface({ input: child.stdout })) {
    const { failure, summary, line } = JSON.parse(text) as {
      failure?: Failure
      summary?: Summary
      line?: string
    }
    if (failure !== undefined && !isOver) {
      onFailure(failure)
      isOver = stopAtFailure
      if (isOver) child.kill()
    }
    if (line !== undefined) onTrace?.(line)
    found = summary ?? found
  }
  const code = await ended
  if (isOver) return { histories: 0, steps: 0, hash: '', counts: {} }
  if (code !== 0 || found === undefined)
    throw new Error(`The child for ${JSON.stringify(job)} ended with ${code}.`)
  return found
}
