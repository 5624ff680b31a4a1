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

let missed = 0
/** Last seed that caught something. */
let most = from
const grounds = new Map()
/** Histories until the last of them, for each ground. */
const plays = new Map()
for (const mutant of mutants) {
  const { caughtBy, problem, histories, seconds } = await hunt(mutant, options)
  if (caughtBy === undefined) missed++
  if (caughtBy !== undefined) {
    const name = JSON.stringify(mutant.ground)
    grounds.set(name, mutant.ground)
    plays.set(name, Math.max(plays.get(name) ?? 1, histories ?? 1))
  }
  most = Math.max(most, Number(/^seed (\d+)$/.exec(caughtBy)?.[1] ?? from))
  const found = [caughtBy ?? 'NOT CAUGHT', histories ?? '', `${seconds.toFixed(1)} s`, firstLine(problem)]
  console.log([mutant.name, ...found].join(' | '))
}

// What catches a mutant must not fail without one, as far as it was played.
let isSound = true
for (const [name, ground] of grounds) {
  const problem = await huntNothing(ground, {
    ...options,
    maxSeeds: most - from + 1,
    maxPlays: plays.get(name),
  })
  console.log(`no mutant | ${name ?? `seeds ${from} to ${most}`} | ${firstLine(problem)}`)
  isSound &&= problem === undefined
}
console.log(`${mutants.length - missed} of ${mutants.length} mutants caught.`)
if (missed > 0 || !isSound) process.exitCode = 1

function firstLine(problem) {
  return problem?.split('\n')[0].slice(0, 150) ?? 'nothing went wrong'
}
