// Looks at every state of the collection protocol within small bounds; PLATTER_LONG_TESTS=1 takes all bounds and
// mutants, `npm run model` still larger ones.
import { test } from 'tap'
import type { Bounds } from './model/bounds.ts'
import { explore } from './model/explorer.ts'
import {
  CHECKPOINT,
  MUTANTS,
  ONE_WRITER,
  SPARE_RULES,
  THREE_GENERATIONS,
  TWO_COLLECTORS,
  TWO_WRITERS,
} from './model/mutants.ts'
import { PROTOCOL, TOMBSTONES, without } from './model/rules.ts'
import { StateTable } from './model/state-table.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
/** What takes more than a million states. */
const LONG_MUTANTS: ReadonlySet<string> = new Set(['trustfenced', 'earlyfences', 'nofinish', 'trustloser'])

const SAFE: Readonly<Record<string, Bounds>> = {
  'a writer, three generations': THREE_GENERATIONS,
  'a writer with a checkpoint': CHECKPOINT,
  ...(LONG ? { 'two writers': TWO_WRITERS, 'two collectors': TWO_COLLECTORS } : {}),
}

for (const [name, bounds] of Object.entries(SAFE)) {
  test(`the protocol loses nothing: ${name}`, async (t) => {
    const { outcome, trace, states } = explore(bounds, PROTOCOL)
    t.equal(outcome, 'safe', trace.join('\n'))
    t.comment(`${states} states`)
  })
}

test('with sweeps as tombstones of packs, fewer rules do', async (t) => {
  for (const bounds of [CHECKPOINT, THREE_GENERATIONS, ...(LONG ? [TWO_WRITERS] : [])]) {
    const { outcome, trace } = explore(bounds, TOMBSTONES)
    t.equal(outcome, 'safe', trace.join('\n'))
  }
})

for (const { name, without: rule, bounds } of MUTANTS) {
  if (!LONG && LONG_MUTANTS.has(name)) continue
  test(`data is lost without the rule ${rule} (${name})`, async (t) => {
    const { outcome, depth, states, trace } = explore(bounds, without(rule))
    t.equal(outcome, 'violated')
    t.equal(trace.length, depth)
    t.notOk(trace.includes(''), 'every step of the trace was found again')
    t.comment(`${depth} steps, ${states} states`)
  })
}

test('some rules are not for safety', async (t) => {
  for (const rule of SPARE_RULES) t.equal(explore(CHECKPOINT, without(rule)).outcome, 'safe', rule)
})

test('a search that gives up says so', async (t) => {
  const { outcome, trace } = explore(ONE_WRITER, PROTOCOL, { maxStates: 100 })
  t.equal(outcome, 'unfinished')
  t.same(trace, [])
})

test('the table of states knows each state, whatever its hash', async (t) => {
  const table = new StateTable(2)
  const count = 200_000
  const state = new Uint32Array(2)
  for (let number = 0; number < count; number++) {
    state.set([number % 7, number])
    if (table.add(state, number >>> 1) !== number) t.fail(`state ${number} is not new`)
    if (table.add(state, 0) !== -1) t.fail(`state ${number} is not known`)
  }
  t.equal(table.size, count)
  table.read(123_456, state)
  t.same([...state], [123_456 % 7, 123_456])
  t.equal(table.parent(123_456), 61_728)
})
