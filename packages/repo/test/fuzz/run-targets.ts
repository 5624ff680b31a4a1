import { writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { ChildSettings, TargetReport } from './campaign.ts'
import { installedCoverage } from './coverage.ts'
import { fuzz } from './fuzz-loop.ts'
import { MemoryWatch } from './memory-watch.ts'
import { minimise } from './minimise.ts'
import { MAX_INPUT_BYTES } from './mutate-bytes.ts'
import { REGRESSIONS } from './regressions.ts'
import type { FuzzTarget } from './target.ts'
import { TARGETS } from './targets.ts'
import type { Heartbeat } from './watchdog.ts'

/** Fuzzes targets one after the other, and prints a {@link TargetReport} for each. */
export async function runTargets({ target: only, inputs, seed, hangMillis }: ChildSettings): Promise<void> {
  // Most inputs end with an error, and most of what that costs is its stack.
  Error.stackTraceLimit = 0
  const heartbeat: Heartbeat = {
    counters: new Int32Array(new SharedArrayBuffer(8)),
    input: new Uint8Array(new SharedArrayBuffer(MAX_INPUT_BYTES)),
    hangMillis,
  }
  const watchdog =
    hangMillis > 0
      ? new Worker(new URL('./watchdog.js', import.meta.url), { workerData: heartbeat })
      : undefined
  const before = (input: Uint8Array): void => {
    heartbeat.input.set(input)
    heartbeat.counters[1] = input.length
    heartbeat.counters[0]! += 1
  }
  for (const target of TARGETS)
    if (only === undefined || only === target.name) await fuzzOne(target, { inputs, seed, before })
  await watchdog?.terminate()
}

async function fuzzOne(
  target: FuzzTarget,
  options: { readonly inputs: number; readonly seed: number; readonly before: (input: Uint8Array) => void },
): Promise<void> {
  const coverage = installedCoverage()
  const started = performance.now()
  const cpu = process.cpuUsage()
  const memory = new MemoryWatch(target)
  coverage?.restart()
  const result = await fuzz(target, {
    ...options,
    ...(coverage === undefined ? {} : { coverage }),
    more: REGRESSIONS.filter((regression) => regression.target === target.name).map(({ input }) => input),
    after: (input) => memory.look(input),
  })
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - started) / 1000
  const findings = [...memory.findings]
  for (const found of result.findings)
    findings.push({ what: found.what, input: await minimise(target, found, options.before) })
  options.before(new Uint8Array(0))
  const report: TargetReport = {
    kind: 'done',
    target: target.name,
    inputs: result.inputs,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.resourceUsage().maxRSS * 1024,
    corpus: result.corpus,
    branches: coverage?.taken ?? 0,
    outcomes: result.outcomes,
    findings: findings.map(({ what, input }) => ({ what, input: Buffer.from(input).toString('base64') })),
  }
  writeSync(1, `${JSON.stringify(report)}\n`)
}
