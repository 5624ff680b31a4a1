import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** What one of several workers is to work on. */
export interface Share {
  /** A file, or a folder. */
  readonly path: string
  readonly codec: string | undefined
  /** Counted from 0. */
  readonly worker: number
  readonly workers: number
}

/** A piece of work whose input is in memory already. */
export interface Batch {
  readonly bytesIn: number
  /** What is timed. Returns how many bytes came out of it. */
  work(): number
}

/**
 * Runs the work of all batches on all cores, and prints the seconds that the work alone took. What the iteration
 * over the batches does, such as reading, is not timed.
 *
 * The module which calls this is run again in each worker.
 */
export async function runBound(
  moduleUrl: string,
  batchesOf: (share: Share) => Iterable<Batch>,
): Promise<void> {
  if (!isMainThread) {
    parentPort?.postMessage(timeBatches(batchesOf(workerData as Share)))
    return
  }
  const [path, codec] = process.argv.slice(2)
  if (path === undefined) throw new RangeError('Give what to read, and the codec.')
  const workers = availableParallelism()
  const results = await Promise.all(
    Array.from({ length: workers }, (_, worker) => runWorker(moduleUrl, { path, codec, worker, workers })),
  )
  const seconds = Math.max(...results.map((result) => result.seconds))
  const bytesIn = results.reduce((sum, result) => sum + result.bytesIn, 0)
  const bytesOut = results.reduce((sum, result) => sum + result.bytesOut, 0)
  console.log(JSON.stringify({ seconds, bytesIn, bytesOut, workers, codec }))
}

interface ShareResult {
  readonly seconds: number
  readonly bytesIn: number
  readonly bytesOut: number
}

function runWorker(moduleUrl: string, share: Share): Promise<ShareResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(moduleUrl), { workerData: share })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

function timeBatches(batches: Iterable<Batch>): ShareResult {
  let seconds = 0
  let bytesIn = 0
  let bytesOut = 0
  for (const batch of batches) {
    bytesIn += batch.bytesIn
    const started = performance.now()
    bytesOut += batch.work()
    seconds += (performance.now() - started) / 1000
  }
  return { seconds, bytesIn, bytesOut }
}
