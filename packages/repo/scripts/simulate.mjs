// Plays simulated histories of a repository: see docs/reliability.md, The simulation.
//   npm run simulate -- --seed 7                       one history, step by step
//   npm run simulate -- --seeds 1..100000 --jobs 2     many
//   npm run simulate -- --seeds 1..8000 --plot sleepers   those that go like this: storm, sleepers or damage
//   npm run simulate -- --sweep once --jobs 2          a crash at every step of every operation
//   npm run simulate -- --sweep twice --every 10       a second one in the recovery; every tenth pair
//   npm run simulate -- --switches all                 scenes of a few actors, switched at every place
import { parseArgs } from 'node:util'
import { runCampaign, seedJobs } from '../dist-test/simulation/campaign.js'
import { SWEPT } from '../dist-test/simulation/sweep.js'
import { SCENE_NAMES } from '../dist-test/simulation/switches.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1..1000' },
    plot: { type: 'string' },
    sweep: { type: 'string' },
    switches: { type: 'string' },
    operation: { type: 'string', multiple: true },
    medium: { type: 'string', multiple: true },
    every: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
  },
})

const isOne = values.seed !== undefined
const { histories, steps, hash, counts, failures } = await runCampaign(jobs(), {
  jobs: Number(values.jobs),
  onTrace: console.log,
  onFailure: ({ history, problem }) => console.log(`${history}: ${problem}`),
  onProgress: (done) => process.stderr.isTTY && process.stderr.write(`${done} histories\r`),
})
if (isOne) console.log(`trace hash ${hash}`)
if (Object.keys(counts).length > 0) console.log(counts)
if (failures.length > 1) console.log(failures.map(({ history }) => history).join('\n'))
console.log(`${histories} histories, ${steps} steps, ${failures.length} went wrong.`)
if (failures.length > 0) process.exitCode = 1

function jobs() {
  const one = Number(values.seed)
  if (isOne) return seedJobs({ from: one, to: one, trace: true })
  if (values.switches !== undefined) return switchJobs(values.switches)
  if (values.sweep !== undefined) return sweepJobs(values.sweep === 'twice')
  const [from, to = from] = values.seeds.split('..').map(Number)
  return seedJobs({ from, to, plot: values.plot })
}

function switchJobs(scene) {
  const scenes = scene === 'all' ? SCENE_NAMES : [scene]
  return scenes.map((name) => ({ switches: { scene: name, part: 0, of: Number(values.every) } }))
}

function sweepJobs(second) {
  const of = Number(values.every)
  return (values.operation ?? SWEPT).flatMap((operation) =>
    (values.medium ?? ['bucket', 'disk']).map((medium) => ({
      sweep: { operation, medium, second, part: 0, of },
    })),
  )
}
