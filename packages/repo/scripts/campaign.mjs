// Long campaigns with real processes on a real file system; what they do stands in docs/reliability.md.
//   npm run campaign -- kill [--rounds 1000] [--processes 4] [--seed TEXT] [--dir FOLDER]
//   npm run campaign -- crowd [--minutes 10] [--seed TEXT] [--dir FOLDER]
//   npm run campaign -- racers [--names 1000] [--dir FOLDER]
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { LocalStore, MemoryStore } from '@platter/fs-adapters'
import { storeConformance } from '@platter/fs-adapters/testing'
import { raceProcesses } from '../../fs-adapters/dist-test/races.js'
import { crowdCampaign } from '../dist-test/campaign/crowd-campaign.js'
import { killCampaign } from '../dist-test/campaign/kill-campaign.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '1000' },
    processes: { type: 'string', default: '4' },
    minutes: { type: 'string', default: '10' },
    names: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now()) },
    dir: { type: 'string', default: tmpdir() },
  },
})
const { seed } = values
const parent = resolve(values.dir)
const began = performance.now()

const CAMPAIGNS = { kill, crowd, racers }
const campaign = CAMPAIGNS[positionals[0]]
if (campaign === undefined) throw new Error(`Which campaign? ${Object.keys(CAMPAIGNS).join(', ')}`)
console.log(`seed ${seed}, in ${parent}`)
await campaign()
console.log(`${((performance.now() - began) / 1000).toFixed(0)} s`)

/** The first ^C ends a campaign after the round under way, and prints what it has done so far. */
async function kill() {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  const report = await killCampaign({
    rounds: Number(values.rounds),
    processes: Number(values.processes),
    seed,
    parent,
    roundsPerRepository: 100,
    signal: stop.signal,
    onRound: ({ rounds, snapshotsVerified }) => {
      if (rounds % 20 === 0) console.log(`${rounds} rounds, ${snapshotsVerified} snapshots verified`)
    },
  })
  print(report)
}

async function crowd() {
  const report = await crowdCampaign({
    writers: 8,
    pruners: 3,
    readers: 2,
    iterations: Number.MAX_SAFE_INTEGER,
    minutes: Number(values.minutes),
    seed,
    parent,
  })
  print(report)
}

/** Processes in a folder, and the calls of one process to a store of every kind. What is left of a race that fails stays. */
async function racers() {
  const names = Number(values.names)
  const folder = mkdtempSync(join(parent, 'races-'))
  const shared = join(folder, 'processes')
  mkdirSync(shared)
  print(await raceProcesses({ folder: shared, processes: 8, racersPerProcess: 8, names }))
  await raceInOneProcess('LocalStore', () => LocalStore.create(join(folder, 'one')), names)
  await raceInOneProcess('MemoryStore', async () => new MemoryStore(), names)
  rmSync(folder, { recursive: true })
}

async function raceInOneProcess(kind, createStore, racedNames) {
  const began = performance.now()
  const cases = storeConformance(createStore, { racers: 64, racedNames })
  await cases.find(({ name }) => name.includes('racers')).run()
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(
    `${kind}, one process: 64 racers for each of ${racedNames} names, one winner each, ${seconds} s`,
  )
}

function print(report) {
  for (const [name, value] of Object.entries(report)) {
    if (!(value instanceof Map)) console.log(`${name}: ${JSON.stringify(value)}`)
    else for (const [kind, times] of [...value].sort()) console.log(`${name}: ${kind}: ${times}`)
  }
}
