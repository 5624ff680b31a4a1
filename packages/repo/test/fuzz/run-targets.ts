import { readFileSync, writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { ChildSettings, TargetReport } from './campaign.ts'
import { installedCoverage } from './coverage.ts'
import { type FoundInput, fuzz } from './fuzz-loop.ts'
import { minimise } from './minimise.ts'
import { MAX_INPUT_BYTES } from './mutate-bytes.ts'
import { REGRESSIONS } from './regressions.ts'
import { type FuzzTarget, verdict } from './target.ts'
import { TARGETS } from './targets.ts'
import type { Heartbeat } from './watchdog.ts'

const MIB = 1024 ** 2
/** Most memory of the whole process, Node and all. */
const MAX_RESIDENT_BYTES = 256 * MIB
/** Most that may be allocated outside of the heap, used or not. */
const MAX_EXTERNAL_BYTES = 128 * MIB
/** Most address space that is asked for beyond what the process began with: native code is in no other count. */
const MAX_VIRTUAL_BYTES = 1536 * MIB
/** Inputs from one look at the memory that is not resident to the next. */
const INPUTS_PER_LOOK = 16

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
  const memory = new MemoryWatch()
  const result = await fuzz(target, {
    ...options,
    ...(coverage === undefined ? {} : { coverage }),
    more: REGRESSIONS.filter((regression) => regression.target === target.name).map(({ input }) => input),
    after: (input) => memory.look(input),
  })
  const { user, system } = process.cpuUsage(cpu)
  const seconds = (performance.now() - started) / 1000
  const findings = await memory.findings(target)
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

/** Watches what memory of this process was resident at most, what is outside of the heap, and address space. */
class MemoryWatch {
  readonly #virtualAtStart = peakVirtualBytes()
  #recent: Uint8Array[] = []
  #found: { readonly what: string; readonly inputs: readonly Uint8Array[] } | undefined

  /** Looks at the memory after an input. */
  look(input: Uint8Array): void {
    if (this.#found !== undefined) return
    this.#recent.push(input)
    const resident = process.resourceUsage().maxRSS * 1024
    if (resident > MAX_RESIDENT_BYTES) this.#find(`${mib(resident)} of memory`)
    if (this.#recent.length < INPUTS_PER_LOOK) return
    const { external } = process.memoryUsage()
    const virtual = peakVirtualBytes() - this.#virtualAtStart
    if (external > MAX_EXTERNAL_BYTES) this.#find(`${mib(external)} outside of the heap`)
    else if (virtual > MAX_VIRTUAL_BYTES) this.#find(`${mib(virtual)} more address space`)
    this.#recent = []
  }

  #find(what: string): void {
    this.#found ??= { what, inputs: this.#recent }
  }

  /** What was found: the input that takes most outside of the heap when it is tried again, or else the last. */
  async findings(target: FuzzTarget): Promise<FoundInput[]> {
    if (this.#found === undefined) return []
    const { what, inputs } = this.#found
    let worst = { input: inputs.at(-1)!, bytes: MIB }
    for (const input of inputs) {
      const { external } = process.memoryUsage()
      await verdict(target, input)
      const bytes = process.memoryUsage().external - external
      if (bytes > worst.bytes) worst = { input, bytes }
    }
    return [{ what, input: worst.input }]
  }
}

function peakVirtualBytes(): number {
  if (process.platform !== 'linux') return 0
  const line = /^VmPeak:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))
  return Number(line?.[1] ?? 0) * 1024
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}
