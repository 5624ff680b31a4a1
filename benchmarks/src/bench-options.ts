import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CORPUS_DEFAULTS } from './corpus/make-corpus.ts'
import { parseSize } from './corpus/sizes.ts'
import { SCENARIO_IDS, SCENARIOS, type ScenarioId } from './scenarios/scenario.ts'

/** What is measured: programs side by side, the parts of platter alone, or a snapshot as a live disk. */
export type Suite = 'programs' | 'kernels' | 'live'

/** What the command line asks for. */
export interface BenchOptions {
  readonly help: boolean
  readonly suite: Suite
  readonly list: boolean
  readonly only?: readonly string[]
  readonly scenarios: ReadonlySet<ScenarioId>
  readonly runs: number
  readonly slow: boolean
  readonly timeoutSeconds: number
  readonly corpusDir: string
  readonly diskBytes: number
  readonly dataBytes: number
  readonly repoDir?: string
  readonly targetDir?: string
  readonly outDir: string
  readonly node24?: string
}

const QUICK = Object.freeze({ diskBytes: 2 ** 30, dataBytes: 300e6 })

export const HELP = `Measures platter and programs like it on the same disk images.

Usage: npm run bench -- [options]
       npm run bench -- kernels      the parts of platter alone: chunkers, hash, codecs
       npm run bench -- live [options]
                                     a snapshot served as a disk: nbdcopy, random reads, qemu-img

  --only IDS           programs to run, by commas (all that are installed; --list shows them)
  --scenarios IDS      what to measure, by commas (all but check and sparse)
  --runs N             how often to repeat everything (3)
  --quick              a disk of 1 GiB with 300 MB of data, and one run
  --slow               in sparse, run programs too that read 1 TiB of zeros
  --timeout SECONDS    give up on a single program after this time (3600)
  --corpus-dir FOLDER  where the disk images are kept from one time to the next
  --disk-bytes SIZE    size of a disk (8GiB)
  --data-bytes SIZE    size of the files on it (3GB)
  --repo-dir FOLDER    where repositories go (/dev/shm if they fit, else the temporary folder)
  --target-dir FOLDER  where restored images go (the same)
  --out-dir FOLDER     where the report goes (benchmarks/results)
  --node24 PATH        measure platter on this Node too; "npx" fetches one (PLATTER_BENCH_NODE24)
  --list               show the programs and scenarios
  --help               show this

Scenarios:
${SCENARIO_IDS.map((id) => `  ${id.padEnd(10)} ${SCENARIOS[id]}`).join('\n')}
  memory     first, readback and sparse, for their peaks of memory
`

/**
 * Parses the command line.
 *
 * @throws {TypeError} for unknown options
 * @throws {RangeError} for values that make no sense
 */
export function parseBenchOptions(args: readonly string[], env: NodeJS.ProcessEnv): BenchOptions {
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS })
  const quick = values.quick === true
  const sizes = quick ? QUICK : CORPUS_DEFAULTS
  const node24 = values.node24 ?? env.PLATTER_BENCH_NODE24
  return {
    help: values.help === true,
    list: values.list === true,
    suite: parseSuite(positionals),
    ...(values.only === undefined ? {} : { only: values.only.split(',') }),
    scenarios: parseScenarios(values.scenarios),
    runs: parseCount(values.runs ?? (quick ? '1' : '3')),
    slow: values.slow === true,
    timeoutSeconds: parseCount(values.timeout ?? '3600'),
    corpusDir: values['corpus-dir'] ?? join(tmpdir(), quick ? 'platter-corpus-quick' : 'platter-corpus'),
    diskBytes: values['disk-bytes'] === undefined ? sizes.diskBytes : parseSize(values['disk-bytes']),
    dataBytes: values['data-bytes'] === undefined ? sizes.dataBytes : parseSize(values['data-bytes']),
    ...(values['repo-dir'] === undefined ? {} : { repoDir: values['repo-dir'] }),
    ...(values['target-dir'] === undefined ? {} : { targetDir: values['target-dir'] }),
    outDir: values['out-dir'] ?? fileURLToPath(new URL('../results', import.meta.url)),
    ...(node24 === undefined ? {} : { node24 }),
  }
}

const OPTIONS = {
  only: { type: 'string' },
  scenarios: { type: 'string' },
  runs: { type: 'string' },
  quick: { type: 'boolean' },
  slow: { type: 'boolean' },
  timeout: { type: 'string' },
  'corpus-dir': { type: 'string' },
  'disk-bytes': { type: 'string' },
  'data-bytes': { type: 'string' },
  'repo-dir': { type: 'string' },
  'target-dir': { type: 'string' },
  'out-dir': { type: 'string' },
  node24: { type: 'string' },
  list: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

const DEFAULT_SCENARIOS: readonly ScenarioId[] = SCENARIO_IDS.filter(
  (id) => id !== 'check' && id !== 'sparse',
)
const MEMORY_SCENARIOS: readonly ScenarioId[] = ['first', 'readback', 'sparse']

function parseSuite(positionals: readonly string[]): Suite {
  const [name = 'programs', ...more] = positionals
  if (more.length === 0 && (name === 'programs' || name === 'kernels' || name === 'live')) return name
  throw new RangeError(`"${positionals.join(' ')}" is no suite: leave it out, or write kernels or live.`)
}

function parseScenarios(text: string | undefined): ReadonlySet<ScenarioId> {
  if (text === undefined) return new Set(DEFAULT_SCENARIOS)
  return new Set(
    text.split(',').flatMap((name) => (name === 'memory' ? MEMORY_SCENARIOS : parseScenario(name))),
  )
}

function parseScenario(name: string): ScenarioId {
  const id = SCENARIO_IDS.find((one) => one === name)
  if (id === undefined)
    throw new RangeError(`"${name}" is no scenario: choose of ${SCENARIO_IDS.join(', ')}, memory.`)
  return id
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError(`"${text}" is not a number of 1 or more.`)
  return count
}
