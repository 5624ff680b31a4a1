// Measures planning on the history of a disk that was backed up every day: processor time, wall time, peak memory.
//
//   node packages/repo/scripts/plan-history.mjs [OPTIONS]               makes a history, measures everything, removes it
//   node packages/repo/scripts/plan-history.mjs make FOLDER [OPTIONS]
//   node packages/repo/scripts/plan-history.mjs forget-half FOLDER
//   node packages/repo/scripts/plan-history.mjs open|plan|forget FOLDER [OPTIONS]     one measurement, as JSON
//
// Options: --snapshots 1000 --gib 100 --touched-regions 0.05 --touched-chunks 0.2 --encrypted --runs 1
// `open` reads the index, as a restore does; `plan` is a dry run of a prune; `forget` is a retention policy's dry run
// with sizes. Each measurement is a process of its own, so that its memory can be told.
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { measure } from '../dist-test/history/measure.js'
import { forgetHalf, writeHistory } from '../dist-test/history/write-history.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    snapshots: { type: 'string', default: '1000' },
    gib: { type: 'string', default: '100' },
    'touched-regions': { type: 'string', default: '0.05' },
    'touched-chunks': { type: 'string', default: '0.2' },
    encrypted: { type: 'boolean', default: false },
    runs: { type: 'string', default: '1' },
  },
})
const keyFile = values.encrypted ? new Uint8Array(32).fill(7) : undefined
const [mode, folder] = positionals

if (mode === undefined) await everything()
else if (folder === undefined) throw new Error('Name a folder.')
else if (mode === 'make') await make(folder)
else if (mode === 'forget-half') await forgetHalf(await open(folder))
else if (['open', 'plan', 'forget'].includes(mode))
  console.log(JSON.stringify(await measure(await open(folder), mode)))
else throw new Error(`There is no ${mode}.`)

async function make(path) {
  await writeHistory(path, {
    snapshots: Number(values.snapshots),
    gibibytes: Number(values.gib),
    touchedRegions: Number(values['touched-regions']),
    touchedChunks: Number(values['touched-chunks']),
    ...(keyFile === undefined ? {} : { keyFile }),
  })
}

async function open(path) {
  return await Repository.open(new LocalStore(path), keyFile === undefined ? {} : { keyFile })
}

async function everything() {
  const path = await mkdtemp(join(tmpdir(), 'platter-history-'))
  try {
    await make(path)
    for (const what of ['open', 'plan', 'forget']) report(path, what, 'all live')
    await forgetHalf(await open(path))
    for (const what of ['plan', 'forget']) report(path, what, 'every second one forgotten')
  } finally {
    await rm(path, { recursive: true })
  }
}

/** Measures in processes of their own and prints a line for each. */
function report(path, what, state) {
  for (let run = 0; run < Number(values.runs); run++) {
    const args = [
      fileURLToPath(import.meta.url),
      what,
      path,
      ...(keyFile === undefined ? [] : ['--encrypted']),
    ]
    const { stdout, status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    if (status !== 0) throw new Error(`Measuring ${what} failed.`)
    const { cpuSeconds, seconds, peakMebibytes, result } = JSON.parse(stdout)
    const took = `${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processor, ${Math.round(peakMebibytes)} MiB`
    console.log(`${what}, ${state}: ${took} ${JSON.stringify(result)}`)
  }
}
