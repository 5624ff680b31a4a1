// A few thousand inputs for every parser, within limits of memory. `npm run fuzz` is the same with a million, guided by
// the branches they take, and with a limit of time.
import { test } from 'tap'
import { runChild } from './fuzz/campaign.ts'
import { REGRESSIONS } from './fuzz/regressions.ts'
import { TARGETS } from './fuzz/targets.ts'

const INPUTS = 4000

test('every parser gives a sound value or a documented error', { timeout: 600_000 }, async (t) => {
  const reports = await runChild({ inputs: INPUTS, seed: 1, hangMillis: 0 })
  const targets: string[] = []
  for (const report of reports) {
    if (report.kind === 'stopped') {
      t.fail(`after ${targets.at(-1)}: ${report.what} ${report.input}`)
      continue
    }
    targets.push(report.target)
    t.same(report.findings, [], report.target)
    t.equal(report.inputs, INPUTS)
    t.ok(Object.keys(report.outcomes).length > 1 || report.target === 'mount-tables', 'inputs of all kinds')
  }
  t.same(
    targets,
    TARGETS.map(({ name }) => name),
  )
})

test('regressions name targets', async (t) => {
  for (const { target, what } of REGRESSIONS)
    t.ok(
      TARGETS.some(({ name }) => name === target),
      `${target}: ${what}`,
    )
})
