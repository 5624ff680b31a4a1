// Alters every bit of a small repository, cuts every object to every length, removes, zeroes and exchanges them, and
// says of how much of it nothing told.
//   npm run campaign-damage [-- --plain] [--stride N] [--offset N]
import { parseArgs } from 'node:util'
import { runSweep } from '../dist-test/damage-sweep/sweep.js'

const { values } = parseArgs({
  options: {
    plain: { type: 'boolean', default: false },
    stride: { type: 'string', default: '1' },
    offset: { type: 'string', default: '0' },
  },
})

const started = process.cpuUsage()
const { objects, bytes, tried, unseen, wrong } = await runSweep({
  isEncrypted: !values.plain,
  stride: Number(values.stride),
  offset: Number(values.offset),
  onProblem: (what, problem) => console.log(`${what}: ${problem}`),
  onUnseen: (kind, object) => console.log(`not found: ${object}, ${kind}`),
})
const { user, system } = process.cpuUsage(started)
console.log(`${objects} objects, ${bytes} bytes: ${JSON.stringify(tried)}`)
console.log(`${unseen} not found, ${wrong} wrong, ${((user + system) / 1e6).toFixed(0)} s of processor time`)
if (wrong > 0) process.exitCode = 1
