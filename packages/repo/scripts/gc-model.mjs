// Explores the collection protocol's model. Without arguments: the table of docs/reliability.md, mutants and all.
//   npm run model -- --writers '[[1,3],[3]]' --collectors 1 --generations 2 [--without RULE | --tombstones]
import { parseArgs } from 'node:util'
import { explore } from '../dist-test/model/explorer.js'
import {
  CHECKPOINT,
  MUTANTS,
  SPARE_RULES,
  THREE_GENERATIONS,
  TWO_COLLECTORS,
  TWO_WRITERS,
} from '../dist-test/model/mutants.js'
import { PROTOCOL, TOMBSTONES, without } from '../dist-test/model/rules.js'

const { values } = parseArgs({
  options: {
    writers: { type: 'string' },
    collectors: { type: 'string', default: '1' },
    generations: { type: 'string', default: '2' },
    without: { type: 'string' },
    tombstones: { type: 'boolean', default: false },
    'max-states': { type: 'string', default: '400000000' },
  },
})

if (values.writers === undefined) everything()
else {
  const bounds = {
    writers: JSON.parse(values.writers),
    collectors: Number(values.collectors),
    generations: Number(values.generations),
  }
  if (values.without !== undefined && !(values.without in PROTOCOL))
    throw new Error(`There is no rule ${values.without}. Rules: ${Object.keys(PROTOCOL).join(', ')}`)
  const rules =
    values.without !== undefined ? without(values.without) : values.tombstones ? TOMBSTONES : PROTOCOL
  const { trace } = report(values.without ?? 'protocol', bounds, rules)
  for (const words of trace) console.log(`  ${words}`)
}

function everything() {
  for (const bounds of [CHECKPOINT, THREE_GENERATIONS, TWO_WRITERS, TWO_COLLECTORS]) {
    report('protocol', bounds, PROTOCOL)
    report('tombstones', bounds, TOMBSTONES)
  }
  for (const { name, without: rule, bounds } of MUTANTS) report(`${name} (${rule})`, bounds, without(rule))
  for (const rule of SPARE_RULES) report(`without ${rule}`, TWO_COLLECTORS, without(rule))
}

/** Explores and prints one line; seconds are of the processor. */
function report(name, bounds, rules) {
  const started = process.cpuUsage().user
  const onDepth = process.stderr.isTTY
    ? (depth, states) => process.stderr.write(`\r${name}: depth ${depth}, ${states} states `)
    : undefined
  const result = explore(bounds, rules, {
    maxStates: Number(values['max-states']),
    ...(onDepth === undefined ? {} : { onDepth }),
  })
  if (onDepth !== undefined) process.stderr.write('\r\u001b[K')
  const seconds = ((process.cpuUsage().user - started) / 1e6).toFixed(1)
  const { writers, collectors, generations } = bounds
  const where = `writers ${JSON.stringify(writers)}, ${collectors} collectors, ${generations} generations`
  console.log(
    `${name}: ${where}: ${result.outcome}, ${result.states} states, depth ${result.depth}, ${seconds} s`,
  )
  return result
}
