// Takes rules out of the real code, and sees that it is noticed. `npm run mutants` takes them all; docs/reliability.md
// says what catches which.
import { test } from 'tap'
import { hunt, huntNothing } from './mutants/hunt.ts'
import { MUTANTS } from './mutants/mutants.ts'
import { assertFits } from './mutants/mutated-copy.ts'

/** Nothing waits for real time: this only ends what does not end by itself. */
const PATIENCE = { timeout: 3_600_000 }
/** Caught at once, each in another way. */
const QUICK = ['earlycommit', 'freshbeats', 'nobeats']

test('every mutant fits the code as it is built', async (t) => {
  t.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length, 'names')
  for (const mutant of MUTANTS) await t.resolves(assertFits(mutant), mutant.name)
  await t.rejects(
    assertFits({ name: '', what: '', edits: [{ file: 'index.js', find: 'x'.repeat(99), replace: '' }] }),
  )
})

test('a few mutants, caught', PATIENCE, async (t) => {
  for (const name of QUICK) {
    const mutant = MUTANTS.find((one) => one.name === name)!
    const { caughtBy, problem } = await hunt(mutant, { firstSeed: 1, maxSeeds: 20 })
    t.ok(caughtBy, `${name} is caught`)
    t.notMatch(
      problem,
      /TypeError|ReferenceError|SyntaxError/,
      'for what it does, not because it does not run',
    )
  }
  t.equal(await huntNothing(undefined, { firstSeed: 1, maxSeeds: 2 }), undefined, 'no mutant')
})
