// Takes the rules out of the real code, one at a time, and shows what catches that: see docs/reliability.md, Mutants.
//   npm run mutants                             all of them
//   npm run mutants -- --only nowait --seeds 1..100
import { parseArgs } from 'node:util'
import { hunt, huntNothing } from '../dist-test/mutants/hunt.js'
import { MUTANTS } from '../dist-test/mutants/mutants.js'

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    seeds: { type: 'string', default: '1..3000' },
    jobs: { type: 'string', default: '1' },
  },
})
const [from, to = from] = values.seeds.split('..').map(Number)
const options = { firstSeed: from, maxSeeds: to - from + 1, jobs: Number(values.jobs) }
const mutants = MUTANTS.filter(({ name }) => values.only === undefined || values.only.includes(name))
const unknown = (values.only ?? []).filter((name) => !MUTANTS.some((mutant) => mutant.name === name))
if (unknown.length > 0) throw new Error(`There is no mutant ${unknown.join()}.`)

let escaped = 0
let most = 0
const grounds = new Map()
for (const mutant of mutants) {
  const { caughtBy, problem, histories, seconds } = await hunt(mutant, options)
  if (caughtBy === undefined) escaped++
  if (mutant.ground === undefined) most = Math.max(most, histories)
  else grounds.set(JSON.stringify(mutant.ground), mutant.ground)
  const what = problem?.split('\n')[0].slice(0, 150) ?? 'nothing went wrong'
  console.log([mutant.name, caughtBy ?? 'NOT CAUGHT', histories ?? '', seconds.toFixed(1), what].join(' | '))
}

// What catches a mutant must not fail without one.
let isSound = true
const assertSound = async (what, ground, bounds) => {
  const problem = await huntNothing(ground, bounds)
  console.log(`no mutant | ${what} | ${problem?.split('\n')[0] ?? 'nothing went wrong'}`)
  isSound &&= problem === undefined
}
if (most > 0)
  await assertSound(`seeds ${from} to ${from + most - 1}`, undefined, { ...options, maxSeeds: most })
for (const [name, ground] of grounds) await assertSound(name, ground, options)
console.log(`${mutants.length - escaped} of ${mutants.length} mutants caught.`)
if (escaped > 0 || !isSound) process.exitCode = 1
