// Plays simulated histories: the real code on simulated stores, clocks and schedules. `npm run simulate` plays more of
// them, and one alone step by step; docs/reliability.md says what they are.
import { type Test, test } from 'tap'
import { type CampaignResult, type Job, runCampaign, seedJobs } from './simulation/campaign.ts'
import { SWEPT, type SweepPart } from './simulation/sweep.ts'
import { SCENE_NAMES } from './simulation/switches.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
/** Nothing in a history waits for real time: this only ends one that does not end by itself. */
const PATIENCE = { timeout: 3_600_000 }

async function assertAllGoWell(t: Test, jobs: readonly Job[]): Promise<CampaignResult> {
  const result = await runCampaign(jobs)
  for (const { history, problem } of result.failures) t.fail(`${history}: ${problem}`)
  t.comment(`${result.histories} histories, ${result.steps} steps: ${JSON.stringify(result.counts)}`)
  return result
}

test('a seed has one history', PATIENCE, async (t) => {
  const traceOf = async (seed: number): Promise<string> => {
    const lines: string[] = []
    const { hash } = await runCampaign(seedJobs({ from: seed, to: seed, trace: true }), {
      onTrace: (line) => lines.push(line),
    })
    t.ok(lines.length > 20, `seed ${seed} has a history`)
    return [hash, ...lines].join('\n')
  }
  const traces = new Set<string>()
  for (const seed of [2, 3, 5]) {
    const trace = await traceOf(seed)
    t.equal(await traceOf(seed), trace, `seed ${seed}`)
    traces.add(trace)
  }
  t.equal(traces.size, 3, 'other seeds have others')
})

test('whatever happens, what was committed restores: 1 000 seeds', PATIENCE, async (t) => {
  const { histories, counts } = await assertAllGoWell(t, seedJobs({ from: 1, to: LONG ? 10_000 : 1000 }))
  t.ok(histories >= 1000)
  for (const what of ['kills', 'freezes', 'faults', 'power cuts', 'damages', 'ERR_SESSION_FENCED'])
    t.ok(counts[what]! > 10, `there were ${what}`)
})

test('a crash before and after every call of every operation', PATIENCE, async (t) => {
  const { histories } = await assertAllGoWell(t, [
    ...sweeps({ medium: 'bucket', second: false, of: 1 }),
    ...sweeps({ medium: 'disk', second: false, of: LONG ? 1 : 10 }),
  ])
  t.ok(histories > 500)
})

test('a second crash in the recovery', PATIENCE, async (t) => {
  await assertAllGoWell(t, [
    ...sweeps({ medium: 'bucket', second: true, of: LONG ? 20 : 1000 }),
    ...sweeps({ medium: 'disk', second: true, of: LONG ? 500 : 10_000 }),
  ])
})

test('a few actors, switched at many places', PATIENCE, async (t) => {
  const switches = SCENE_NAMES.map((scene) => ({ switches: { scene, part: 0, of: LONG ? 1 : 50 } }))
  const { histories } = await assertAllGoWell(t, switches)
  t.ok(histories > 100)
})

function sweeps(part: Omit<SweepPart, 'operation' | 'part'>): Job[] {
  return SWEPT.map((operation) => ({ sweep: { ...part, operation, part: 0 } }))
}
