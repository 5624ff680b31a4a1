import { type ChildProcess, spawn } from 'node:child_process'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TARGETS } from './targets.ts'

/** What a child says of a target it is done with. */
export interface TargetReport {
  readonly kind: 'done'
  readonly target: string
  readonly inputs: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Most memory that the process had since an input was last suspected, with Node and what was not collected yet. */
  readonly residentBytes: number
  /** Inputs kept because they took a new branch. */
  readonly corpus: number
  /** Branches that its inputs took, where the code is instrumented. */
  readonly branches: number
  readonly outcomes: Readonly<Record<string, number>>
  /** With the input in base64. */
  readonly findings: readonly { readonly what: string; readonly input: string }[]
}

/** What a child says before it ends itself, or what is said of one that died. */
export interface StoppedReport {
  readonly kind: 'stopped'
  readonly what: string
  readonly input: string
}

/** What a child is told. */
export interface ChildSettings {
  readonly inputs: number
  readonly seed: number
  /** Default: all. */
  readonly target?: string
  /** Folder of instrumented code, see instrument.ts. */
  readonly instrumented?: string
  /** Longest that one input may take; 0 for any time. */
  readonly hangMillis: number
}

const CHILD = fileURLToPath(new URL('./fuzz-child.js', import.meta.url))
/**
 * Heap that parsers get. An input that needs more ends the process. The largest record that is taken needs 68 MiB by
 * itself; memory-watch.ts holds all memory together to 256 MiB.
 */
const HEAP_MIB = 128

/** Fuzzes in a process of its own, and gives what it says, target by target. */
export async function runChild(settings: ChildSettings): Promise<(TargetReport | StoppedReport)[]> {
  const args = ['--expose-gc', `--max-old-space-size=${HEAP_MIB}`, CHILD, JSON.stringify(settings)]
  // Without what the test runner puts into the environment of its children.
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const { stdout, stderr, ended } = await outputOf(child)
  const reports = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TargetReport | StoppedReport)
  const isExplained = reports.at(-1)?.kind === 'stopped'
  if (ended !== '0' && !isExplained) {
    const what = `the process ended with ${ended}: ${stderr.slice(-2000)}`
    reports.push({ kind: 'stopped', what, input: '' })
  }
  return reports
}

async function outputOf(
  child: ChildProcess,
): Promise<{ readonly stdout: string; readonly stderr: string; readonly ended: string }> {
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ stdout, stderr, ended: String(signal ?? code) }))
  })
}

export interface CampaignOptions {
  readonly inputs: number
  readonly seed: number
  /** Default: all. */
  readonly targets?: readonly string[]
  readonly instrumented: string
  /** Folder that gets a file for each finding. */
  readonly out: string
  /** File that gets a line for each target that is done; those that it has with so many inputs are left out. */
  readonly record?: string
  readonly print: (line: string) => void
}

/** The longest that any input may take. */
const HANG_MILLIS = 1000

/**
 * Fuzzes target after target, each in a process of its own, prints a line for each and saves what is found.
 *
 * @returns how many findings there were.
 */
export async function runCampaign(options: CampaignOptions): Promise<number> {
  const { inputs, seed, instrumented, print } = options
  let found = 0
  for (const target of await targetsLeft(options)) {
    const settings = { inputs, seed, target, instrumented, hangMillis: HANG_MILLIS }
    for (const report of await runChild(settings)) {
      if (report.kind === 'done') print(lineOf(report))
      const findings = report.kind === 'done' ? report.findings : [report]
      for (const finding of findings) print(await saved(target, finding, ++found, options.out))
      if (report.kind === 'done' && options.record !== undefined)
        await appendFile(options.record, `${JSON.stringify({ seed, ...report })}\n`)
    }
  }
  return found
}

async function targetsLeft({ targets, inputs, record }: CampaignOptions): Promise<string[]> {
  const names = TARGETS.map(({ name }) => name)
  const unknown = targets?.find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`There is no target '${unknown}'.`)
  const done = record === undefined ? [] : await readRecord(record)
  const isDone = (name: string): boolean =>
    done.some((report) => report.target === name && report.inputs >= inputs)
  return names.filter((name) => (targets?.includes(name) ?? true) && !isDone(name))
}

async function readRecord(file: string): Promise<TargetReport[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TargetReport)
}

async function saved(
  target: string,
  { what, input }: { readonly what: string; readonly input: string },
  number: number,
  folder: string,
): Promise<string> {
  const file = join(folder, `${target}-${number}`)
  await mkdir(folder, { recursive: true })
  await writeFile(file, Buffer.from(input, 'base64'))
  return `${target}: ${what} (${file})`
}

function lineOf(report: TargetReport): string {
  const { target, inputs, cpuSeconds, residentBytes, corpus, branches, outcomes } = report
  const perSecond = Math.round(inputs / cpuSeconds)
  const taken = Object.entries(outcomes).map(([outcome, count]) => `${outcome} ${count}`)
  return `${target}: ${inputs} inputs, ${perSecond} a second, ${Math.round(residentBytes / 2 ** 20)} MiB, ${branches} branches, ${corpus} inputs kept; ${taken.join(', ')}`
}
