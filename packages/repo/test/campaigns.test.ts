// Short campaigns of real processes; `npm run campaign` runs long ones. See docs/reliability.md.
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { crowdCampaign } from './campaign/crowd-campaign.ts'
import { killCampaign } from './campaign/kill-campaign.ts'

/** Not the test's own folder: what fails is kept. */
const PARENT = join(tmpdir(), 'platter-campaigns')
/** Another one every time; a failure tells it. */
const SEED = String(Date.now())

test('processes are killed while they back up, prune, forget, repair and change keys', {
  timeout: 900_000,
}, async (t) => {
  const rounds = 50
  const report = await killCampaign({
    rounds,
    processes: 3,
    seed: SEED,
    parent: PARENT,
    roundsPerRepository: 25,
  })
  t.equal(report.rounds, rounds)
  const kills = [...report.kills].map(([moment, times]) => `${moment}: ${times}`)
  t.comment(`${kills.join('; ')}; ${report.snapshotsVerified} snapshots verified`)
  for (const job of ['backup', 'prune'])
    t.ok(
      [...report.kills.keys()].some((moment) => moment.startsWith(job)),
      `kills hit a ${job}`,
    )
  t.ok(report.acknowledged > 0 && report.snapshotsVerified > 0)
})

test('8 writers, 3 pruners and 2 readers at once', { timeout: 900_000 }, async (t) => {
  const { outcomes, acknowledged, verified } = await crowdCampaign({
    writers: 8,
    pruners: 3,
    readers: 2,
    iterations: 4,
    minutes: 2,
    seed: SEED,
    parent: PARENT,
  })
  t.comment([...outcomes].map(([outcome, times]) => `${outcome}: ${times}`).join('; '))
  t.ok(acknowledged > 0 && verified.snapshots > 0)
  for (const outcome of ['prune done', 'read done']) t.ok(outcomes.has(outcome), outcome)
})
