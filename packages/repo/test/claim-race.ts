// Four threads claim the same ids of one table at the same time; prints how often an id was claimed by none or by
// more than one. Run on its own: a thread of a process with hooks takes seconds to start.
import { createHash } from 'node:crypto'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { ClaimTable } from '../dist/index/claim-table.js'

const THREADS = 4
const ROUNDS = 4
const IDS = 20_000

interface RaceData {
  readonly thread: number
  readonly tables: readonly SharedArrayBuffer[]
  readonly gate: SharedArrayBuffer
}

/** Ids of a round. Every third starts with a word that stands for a state, and some share a slot. */
function idsOf(round: number): Uint8Array[] {
  const all = new Uint8Array(
    createHash('shake256', { outputLength: IDS * 32 })
      .update(`${round}`)
      .digest(),
  )
  return Array.from({ length: IDS }, (_, i) => {
    const id = all.slice(i * 32, i * 32 + 32)
    const words = new Int32Array(id.buffer)
    if (i % 3 === 0) words[0] = i % 2
    if (i % 97 === 0) words[1] = i & 15
    return id
  })
}

/** Claims all ids in an order that differs from thread to thread in every other round; 1 for each that was ours. */
function claimAll({ thread, tables, gate }: RaceData, round: number): Uint8Array {
  const table = new ClaimTable()
  table.add(tables[round]!)
  const ids = idsOf(round)
  const mine = new Uint8Array(IDS)
  const arrived = new Int32Array(gate)
  Atomics.add(arrived, round, 1)
  // Busy waiting, so that all start in the same moment.
  while (Atomics.load(arrived, round) < THREADS) {}
  const shift = round % 2 === 0 ? 0 : thread * 5000
  for (let i = 0; i < IDS; i++) {
    const at = (i + shift) % IDS
    if (table.claim(ids[at]!)) mine[at] = 1
  }
  return mine
}

if (isMainThread) {
  const tables = Array.from({ length: ROUNDS }, () => ClaimTable.allocate(IDS))
  const gate = new SharedArrayBuffer(4 * ROUNDS)
  const results = await Promise.all(
    Array.from({ length: THREADS }, (_, thread) => {
      const worker = new Worker(new URL(import.meta.url), { workerData: { thread, tables, gate } })
      return new Promise<Uint8Array[]>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    }),
  )
  let [lost, twice] = [0, 0]
  const sizes = new Set<number>()
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < IDS; i++) {
      const claims = results.reduce((sum, rounds) => sum + rounds[round]![i]!, 0)
      if (claims === 0) lost++
      if (claims > 1) twice++
    }
    const table = new ClaimTable()
    table.add(tables[round]!)
    sizes.add(table.size)
  }
  console.log(
    JSON.stringify({ rounds: ROUNDS, ids: IDS, lost, twice, size: sizes.size === 1 ? [...sizes][0] : -1 }),
  )
} else {
  const data = workerData as RaceData
  parentPort!.postMessage(Array.from({ length: ROUNDS }, (_, round) => claimAll(data, round)))
}
