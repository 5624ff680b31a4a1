import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** The average chunk size of platter. */
const CHUNK_BYTES = 256 << 10

/** Chunks are read this many at a time, outside the time that counts. */
const CHUNKS_PER_BATCH = 64

/**
 * Prepares chunks outside the time that counts, and returns the work that is timed.
 * The work returns how many bytes came out of it.
 */
export type BoundStep = (chunks: readonly Buffer[]) => () => number

/**
 * Runs one step over a file in chunks, on all cores, and prints the seconds that the step alone took.
 *
 * The module which calls this is run again in each worker.
 */
export async function runBound(
  moduleUrl: string,
  makeStep: (codec: string | undefined) => BoundStep,
): Promise<void> {
  if (!isMainThread) {
    parentPort?.postMessage(timeShare(workerData as Share, makeStep))
    return
  }
  const [path, codec] = process.argv.slice(2)
  if (path === undefined) throw new RangeError('Give the file to read, and the codec.')
  const workers = availableParallelism()
  const results = await Promise.all(
    Array.from({ length: workers }, (_, worker) => runWorker(moduleUrl, { path, codec, worker, workers })),
  )
  const seconds = Math.max(...results.map((result) => result.seconds))
  const bytesOut = results.reduce((sum, result) => sum + result.bytesOut, 0)
  console.log(JSON.stringify({ seconds, bytesIn: statSync(path).size, bytesOut, workers, codec }))
}

interface Share {
  readonly path: string
  readonly codec: string | undefined
  readonly worker: number
  readonly workers: number
}

interface ShareResult {
  readonly seconds: number
  readonly bytesOut: number
}

function runWorker(moduleUrl: string, share: Share): Promise<ShareResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(moduleUrl), { workerData: share })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

function timeShare(share: Share, makeStep: (codec: string | undefined) => BoundStep): ShareResult {
  const step = makeStep(share.codec)
  const file = openSync(share.path, 'r')
  const sizeBytes = statSync(share.path).size
  const batchBytes = CHUNKS_PER_BATCH * CHUNK_BYTES
  let seconds = 0
  let bytesOut = 0
  for (let at = share.worker * batchBytes; at < sizeBytes; at += share.workers * batchBytes) {
    const work = step(readChunks(file, at, Math.min(batchBytes, sizeBytes - at)))
    const started = performance.now()
    bytesOut += work()
    seconds += (performance.now() - started) / 1000
  }
  closeSync(file)
  return { seconds, bytesOut }
}

function readChunks(file: number, at: number, length: number): Buffer[] {
  const batch = Buffer.alloc(length)
  readSync(file, batch, 0, length, at)
  const chunks: Buffer[] = []
  for (let start = 0; start < length; start += CHUNK_BYTES)
    chunks.push(batch.subarray(start, start + CHUNK_BYTES))
  return chunks
}
