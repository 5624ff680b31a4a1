// Every call of every operation, with every way in which it can fail.
import { join } from 'node:path'
import type { FaultPoint, FileSystemCall } from '@platter/fs-adapters/testing'
import { OPERATIONS, type Operation } from './operations.ts'
import { type Outcome, runTrial } from './trial.ts'
import { makeWorlds, removeFolder } from './worlds.ts'

export interface CampaignOptions {
  /** Only operations of these names. Default: all. */
  readonly operations?: readonly string[]
  /** Of all faults of an operation, one in so many. Default 1: all of them. */
  readonly stride?: number
  /** Which of them: 0 to `stride` - 1. Default 0. */
  readonly offset?: number
  readonly onProblem?: (operation: string, fault: FaultPoint, outcome: Outcome) => void
  readonly onOperation?: (summary: Summary) => void
}

/** What came of an operation under all its faults. */
export interface Summary {
  readonly operation: string
  /** System calls it makes when nothing fails. */
  readonly calls: number
  readonly faults: number
  /** Faults that did not come about, since the operation took another way than before. */
  readonly missed: number
  readonly succeeded: number
  readonly failed: number
  readonly problems: number
}

const CODES = ['ENOSPC', 'EIO', 'EDQUOT', 'ESTALE', 'EXDEV', 'EACCES', 'EMFILE', 'EINTR'] as const
/** Errors that calls which had their effect are made to tell: those of network shares, which lose answers. */
const CODES_AFTER = ['EIO', 'ESTALE', 'EDQUOT'] as const
/** Calls that change something, so that it matters whether they failed before or after. */
const CHANGING: ReadonlySet<FileSystemCall> = new Set(['writev', 'sync', 'link', 'unlink', 'mkdir', 'open'])
/** Calls that a full disk lets fail. */
const WRITING: ReadonlySet<FileSystemCall> = new Set(['writev', 'sync', 'link', 'mkdir', 'open'])

/** Runs the campaign and gives one line for each operation. */
export async function runCampaign(options: CampaignOptions = {}): Promise<Summary[]> {
  const { root, worlds } = await makeWorlds()
  const { operations = Object.keys(OPERATIONS), stride = 1, offset = 0 } = options
  const summaries: Summary[] = []
  try {
    for (const [number, name] of operations.entries()) {
      const operation = OPERATIONS[name] as Operation
      const world = worlds[operation.world]
      const trial = (fault: FaultPoint | undefined, i: number): Promise<Outcome> =>
        runTrial({
          operation,
          world,
          fault,
          cutBetween: i % 2 === 0,
          path: join(root, `trial-${number}-${i}`),
        })
      const probe = await trial(undefined, 0)
      if (probe.problems.length > 0) throw new Error(`${name} without a fault: ${probe.problems.join('; ')}`)
      // Another offset for each operation, so that a sample has other errors for each.
      const faults = allFaults(probe.calls).filter((_, i) => (i + number) % stride === offset)
      const totals = { missed: 0, succeeded: 0, failed: 0, problems: 0 }
      for (const [i, fault] of faults.entries()) {
        const outcome = await trial(fault, i + 1)
        if (outcome.hit === undefined) totals.missed++
        else if (outcome.code === 'success') totals.succeeded++
        else totals.failed++
        if (outcome.problems.length === 0) continue
        totals.problems++
        options.onProblem?.(name, fault, outcome)
      }
      const summary = { operation: name, calls: probe.calls.length, faults: faults.length, ...totals }
      summaries.push(summary)
      options.onOperation?.(summary)
    }
  } finally {
    removeFolder(root)
  }
  return summaries
}

/** Every way in which the calls that were made can fail. */
function allFaults(calls: Outcome['calls']): FaultPoint[] {
  const counts = new Map<FileSystemCall, number>()
  for (const { call } of calls) counts.set(call, (counts.get(call) ?? 0) + 1)
  const faults: FaultPoint[] = []
  for (const [call, count] of counts) {
    for (let index = 0; index < count; index++) faults.push(...faultsOf(call, index))
  }
  // The disk, or the way to it, is gone for good.
  for (let index = 0; index < calls.length; index++)
    faults.push({ index, code: index % 2 === 0 ? 'EIO' : 'ESTALE', when: 'before', sticky: true })
  return faults
}

function faultsOf(call: FileSystemCall, index: number): FaultPoint[] {
  const at = { call, index }
  const faults: FaultPoint[] = CODES.map((code) => ({ ...at, code, when: 'before' }))
  if (CHANGING.has(call)) for (const code of CODES_AFTER) faults.push({ ...at, code, when: 'after' })
  for (const code of ['EIO', 'EACCES']) faults.push({ ...at, code, when: 'before', sticky: true })
  if (WRITING.has(call))
    for (const code of ['ENOSPC', 'EDQUOT']) faults.push({ ...at, code, when: 'before', sticky: true })
  if (call === 'writev') {
    faults.push({ ...at, code: '', when: 'short' }, { ...at, code: '', when: 'short', sticky: true })
    faults.push(
      { ...at, code: 'ENOSPC', when: 'short' },
      { ...at, code: 'ENOSPC', when: 'short', sticky: true },
    )
  }
  if (call === 'read')
    faults.push({ ...at, code: '', when: 'short', sticky: true }, { ...at, code: 'EIO', when: 'short' })
  if (call === 'sync') {
    for (const code of ['EIO', 'ENOSPC', 'EDQUOT']) faults.push({ ...at, code, when: 'lost' })
  }
  return faults
}
