import type { Peer } from '../peers/peer.ts'
import type { PeerState, Row, Run } from '../report/results.ts'
import { type ChainContext, runChain } from './run-chain.ts'
import { SCENARIO_IDS, type ScenarioId } from './scenario.ts'

export interface SuiteOptions {
  readonly peers: readonly Peer[]
  readonly scenarios: ReadonlySet<ScenarioId>
  readonly runs: number
  /** Let programs that know no holes read a whole TiB of zeros, too. */
  readonly slow: boolean
  readonly onRun?: (peer: Peer, scenario: ScenarioId, run: Run) => void
  readonly onFailure?: (peer: Peer, message: string) => void
}

/** Runs every scenario of every installed peer; in each run the peers take turns in another order. */
export async function runSuite(
  options: SuiteOptions,
  context: ChainContext,
): Promise<{ readonly peers: readonly PeerState[]; readonly rows: readonly Row[] }> {
  const states = await Promise.all(options.peers.map(describe))
  const installed = options.peers.filter((_, index) => states[index]?.version !== undefined)
  const table = new ResultTable()
  for (let number = 0; number < options.runs; number++) {
    const turn = installed.length === 0 ? 0 : number % installed.length
    for (const peer of [...installed.slice(turn), ...installed.slice(0, turn)]) {
      await runPeer(peer, options, context, table)
    }
  }
  for (const peer of installed) {
    if (skipsSparse(peer, options))
      table.note(peer.id, 'sparse', 'not run: would read 1 TiB of zeros (see --slow)')
  }
  return { peers: states, rows: table.rows(options.peers) }
}

async function describe(peer: Peer): Promise<PeerState> {
  const { id, title, settings } = peer
  const version = await peer.version()
  return version === undefined ? { id, title, settings } : { id, title, settings, version }
}

async function runPeer(
  peer: Peer,
  options: SuiteOptions,
  context: ChainContext,
  table: ResultTable,
): Promise<void> {
  const wanted = new Set(options.scenarios)
  if (skipsSparse(peer, options)) wanted.delete('sparse')
  const done = new Set<ScenarioId>()
  try {
    for await (const { scenario, run } of runChain(peer, wanted, context)) {
      table.add(peer.id, scenario, run)
      done.add(scenario)
      options.onRun?.(peer, scenario, run)
    }
  } catch (error) {
    context.signal?.throwIfAborted()
    const message = error instanceof Error ? error.message : String(error)
    options.onFailure?.(peer, message)
    const open = SCENARIO_IDS.filter((id) => wanted.has(id) && peer.scenarios.includes(id) && !done.has(id))
    for (const scenario of open) table.note(peer.id, scenario, `failed: ${message.slice(0, 300)}`)
  }
}

function skipsSparse(peer: Peer, options: SuiteOptions): boolean {
  const wanted = options.scenarios.has('sparse') && peer.scenarios.includes('sparse')
  return wanted && peer.readsHoles && !options.slow
}

/** Collects runs by peer and scenario. */
class ResultTable {
  readonly #runs = new Map<string, Run[]>()
  readonly #notes = new Map<string, string>()

  add(peer: string, scenario: ScenarioId, run: Run): void {
    const key = `${peer} ${scenario}`
    this.#runs.set(key, [...(this.#runs.get(key) ?? []), run])
  }

  note(peer: string, scenario: ScenarioId, note: string): void {
    this.#notes.set(`${peer} ${scenario}`, note)
  }

  rows(peers: readonly Peer[]): Row[] {
    const rows: Row[] = []
    for (const scenario of SCENARIO_IDS) {
      for (const { id: peer } of peers) {
        const runs = this.#runs.get(`${peer} ${scenario}`)
        const note = this.#notes.get(`${peer} ${scenario}`)
        if (runs === undefined && note === undefined) continue
        rows.push({ peer, scenario, runs: runs ?? [], ...(note === undefined ? {} : { note }) })
      }
    }
    return rows
  }
}
