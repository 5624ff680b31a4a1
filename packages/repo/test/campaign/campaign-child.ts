// A process of a campaign: does one kind of job again and again, until it has done enough or is killed.
//   node campaign-child.js SETTINGS
import { once } from 'node:events'
import { type ChildSettings, openCampaign } from './child-settings.ts'
import { Dice } from './dice.ts'
import { runJob } from './jobs.ts'
import { tell } from './journal.ts'
import { verify } from './verify.ts'

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings
try {
  if (settings.job === 'verify') tell({ event: 'verified', found: await verify(settings) })
  else await work()
} catch (error) {
  tell({ event: 'wrong', what: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exitCode = 1
}

async function work(): Promise<void> {
  const { repo } = await openCampaign(settings, settings.keys)
  tell({ event: 'ready' })
  // All processes of a round begin at the same time, and end when they are told that it is over.
  await once(process.stdin, 'data')
  let isOver = false
  process.stdin.once('end', () => {
    isOver = true
  })
  const dice = new Dice(`${settings.seed}|${settings.id}`)
  const end = performance.now() + settings.minutes * 60_000
  for (let number = 0; number < settings.iterations && !isOver && performance.now() < end; number++)
    await runJob({ settings, repo, dice, number })
  process.stdin.destroy()
}
