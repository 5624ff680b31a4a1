// Plays histories in a process of its own, since it puts clocks, timers and random numbers of its process in the place
// of the real ones. Takes a job as its argument, and prints a line of JSON for each failure and one for the sum.

import type { Failure, Job, SeedJob, Summary } from './campaign.ts'
import { playHistory } from './history.ts'
import { plotOf } from './profile.ts'
import { crashesOf, Sweep, type SweepPart } from './sweep.ts'
import { playScene, type SwitchPart } from './switches.ts'
import { warmUp } from './warm-up.ts'

const job = JSON.parse(process.argv[2]!) as Job
// What nobody awaits must not fail either.
const stray: unknown[] = []
process.on('unhandledRejection', (error) => stray.push(error))

const counts: Record<string, number> = {}
const summary = { histories: 0, steps: 0, hash: '', counts }
await warmUp()
if ('sweep' in job) await sweep(job.sweep)
else if ('switches' in job) await switches(job.switches)
else await play(job)
print({ summary })

async function play({ from, to, plot, trace: keepTrace = false }: SeedJob): Promise<void> {
  for (let seed = from; seed <= to; seed++) {
    if (plot !== undefined && plotOf(seed) !== plot) continue
    const { problem, steps, hash, counts: added, trace } = await playHistory(seed, keepTrace)
    summary.histories++
    summary.steps += steps
    summary.hash = hash
    for (const [name, count] of Object.entries(added)) counts[name] = (counts[name] ?? 0) + count
    tell(`seed ${seed}`, problem)
    for (const line of trace) print({ line })
  }
}

async function sweep(part: SweepPart): Promise<void> {
  const prepared = await Sweep.prepare(part.operation, part.medium)
  for await (const [first, second] of crashesOf(prepared, part)) {
    summary.histories++
    let problem: string | undefined
    try {
      const { calls, recoveryCalls, hash } = await prepared.run(first, second)
      summary.steps += calls + recoveryCalls
      summary.hash = hash
    } catch (error) {
      problem = (error as Error).stack ?? String(error)
    }
    tell(`${part.operation} on a ${part.medium}, ${JSON.stringify([first, second])}`, problem)
  }
}

async function switches(part: SwitchPart): Promise<void> {
  for await (const { where, problem, steps } of playScene(part)) {
    summary.histories++
    summary.steps += steps
    tell(where, problem)
  }
}

function tell(history: string, problem: string | undefined): void {
  const unhandled = stray.length === 0 ? undefined : `Nobody handled: ${stray.splice(0).map(String).join()}`
  const what = problem ?? unhandled
  if (what !== undefined) print({ failure: { history, number: summary.histories, problem: what } })
}

function print(line: { failure?: Failure; summary?: Summary; line?: string }): void {
  console.log(JSON.stringify(line))
}
