// Lets every system call of every operation on a repository in a folder fail in every way, and says what came of it.
//   npm run campaign-faults [-- --operation NAME]... [--stride N] [--offset N]
import { parseArgs } from 'node:util'
import { runCampaign } from '../dist-test/io-campaign/campaign.js'

const { values } = parseArgs({
  options: {
    operation: { type: 'string', multiple: true },
    stride: { type: 'string', default: '1' },
    offset: { type: 'string', default: '0' },
  },
})

const started = process.cpuUsage()
const summaries = await runCampaign({
  ...(values.operation === undefined ? {} : { operations: values.operation }),
  stride: Number(values.stride),
  offset: Number(values.offset),
  onProblem: (operation, fault, { code, hit, problems }) => {
    console.log(`${operation}: ${JSON.stringify(fault)}, ${hit}: ${code}`)
    for (const problem of problems) console.log(`  ${problem}`)
  },
  onOperation: ({ operation, calls, faults, missed, succeeded, failed, problems }) =>
    console.log(
      `${operation}: ${calls} calls, ${faults} faults, ${missed} missed; ` +
        `${succeeded} succeeded, ${failed} failed; ${problems} problems`,
    ),
})
const sum = (field) => summaries.reduce((total, summary) => total + summary[field], 0)
const { user, system } = process.cpuUsage(started)
console.log(
  `${sum('faults')} faults, ${sum('succeeded')} succeeded, ${sum('failed')} failed, ${sum('problems')} problems, ` +
    `${((user + system) / 1e6).toFixed(0)} s of processor time`,
)
if (sum('problems') > 0) process.exitCode = 1
