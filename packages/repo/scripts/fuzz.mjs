// Fuzzes every parser, guided by the branches that inputs take; findings go to files of the folder --out.
//   npm run fuzz -- [--target NAME]... [--inputs 1000000] [--seed N] [--out FOLDER] [--record FILE]
// With --record, targets that are done are noted in FILE and left out the next time, so a campaign can go on in pieces.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runCampaign } from '../dist-test/fuzz/campaign.js'
import { instrumentParsers } from '../dist-test/fuzz/instrument.js'

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true },
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    out: { type: 'string', default: 'fuzz-findings' },
    record: { type: 'string' },
  },
})

const instrumented = await mkdtemp(join(tmpdir(), 'platter-fuzz-'))
try {
  const branches = await instrumentParsers(instrumented)
  console.log(`${values.inputs} inputs for each target, seed ${values.seed}, ${branches} branches`)
  const found = await runCampaign({
    inputs: Number(values.inputs),
    seed: Number(values.seed),
    ...(values.target === undefined ? {} : { targets: values.target }),
    instrumented,
    out: values.out,
    ...(values.record === undefined ? {} : { record: values.record }),
    print: (line) => console.log(line),
  })
  process.exitCode = found === 0 ? 0 : 1
} finally {
  await rm(instrumented, { recursive: true, force: true })
}
