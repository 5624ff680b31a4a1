import { type ChildProcess, spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { LocalStore } from '@platter/fs-adapters'
import { bareNode } from './bare-node.ts'
import { objectOf, type RaceResult } from './race-objects.ts'

const WORKER = fileURLToPath(new URL('./race-worker.js', import.meta.url))
/** Names that are raced for between two moments at which all processes wait for each other. */
const BATCH_NAMES = 20

/** Options of {@link raceProcesses}. */
export interface RaceOptions {
  /** Folder of a store without objects under `race/`. */
  readonly folder: string
  readonly processes: number
  /** Calls of each process at once, for each name. */
  readonly racersPerProcess: number
  readonly names: number
}

/** What came of it. */
export interface RaceReport {
  readonly names: number
  readonly calls: number
  /** Names that each process won: when all are won by one, they did not meet. */
  readonly wins: readonly number[]
}

/**
 * Lets processes race for names in one folder.
 *
 * @throws when a name has not exactly one winner, anybody is told something else than 'created' or 'exists', an object is
 * not its winner's, or anything else is left.
 */
export async function raceProcesses(options: RaceOptions): Promise<RaceReport> {
  const { folder, processes, racersPerProcess, names } = options
  const workers = Array.from({ length: processes }, (_, i) => new RaceProcess(folder, i, racersPerProcess))
  const wins = new Array<number>(processes).fill(0)
  try {
    await Promise.all(workers.map((worker) => worker.line()))
    for (let first = 0; first < names; first += BATCH_NAMES) {
      const length = Math.min(BATCH_NAMES, names - first)
      const batch = Array.from({ length }, (_, i) => `race/${(first + i) % 16}/${first + i}`)
      const results = (await Promise.all(workers.map((worker) => worker.race(batch)))).flat()
      for (const name of batch) {
        const winner = await assertOneWinner(
          new LocalStore(folder),
          name,
          results,
          processes * racersPerProcess,
        )
        wins[Number(winner.split('.')[0])]!++
      }
    }
  } finally {
    for (const worker of workers) worker.end()
  }
  await assertNothingElse(folder, names)
  return { names, calls: names * processes * racersPerProcess, wins }
}

async function assertOneWinner(
  store: LocalStore,
  name: string,
  results: readonly RaceResult[],
  racers: number,
): Promise<string> {
  const racing = results.filter((result) => result.name === name)
  const winners = racing.filter(({ outcome }) => outcome === 'created')
  const others = racing.filter(({ outcome }) => outcome !== 'created' && outcome !== 'exists')
  if (others.length > 0) throw new Error(`Racers for ${name} failed: ${JSON.stringify(others)}`)
  const [winner] = winners
  if (racing.length !== racers || winner === undefined || winners.length > 1)
    throw new Error(`${winners.length} of ${racing.length} racers were told that they created ${name}.`)
  const object = await store.get(name)
  if (Buffer.compare(object, objectOf(name, winner.racer)) !== 0)
    throw new Error(`The object ${name} is not that of its winner, ${winner.racer}.`)
  return winner.racer
}

async function assertNothingElse(folder: string, names: number): Promise<void> {
  const left = await readdir(join(folder, '.tmp'))
  if (left.length > 0) throw new Error(`Temporary files are left: ${left.join()}`)
  let objects = 0
  for await (const _ of new LocalStore(folder).list('race/')) objects++
  if (objects !== names) throw new Error(`There are ${objects} objects, but ${names} names.`)
}

class RaceProcess {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #interface: Interface

  constructor(folder: string, worker: number, racers: number) {
    const command = bareNode(WORKER, folder, String(worker), String(racers))
    // Enough threads that the calls of one process overlap too.
    const env = { ...process.env, UV_THREADPOOL_SIZE: '16' }
    const child = spawn(...command, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child = child
    this.#interface = createInterface(child.stdout)
    this.#lines = this.#interface[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('A racing process has ended.')
    return value
  }

  async race(names: readonly string[]): Promise<RaceResult[]> {
    this.#child.stdin!.write(`${JSON.stringify(names)}\n`)
    return JSON.parse(await this.line()) as RaceResult[]
  }

  end(): void {
    this.#interface.close()
    this.#child.kill()
  }
}
