// A thread beside the fuzzer: when one input takes too long, it saves that input, says so, and ends the process.
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'

/** What the fuzzer tells the watchdog. */
export interface Heartbeat {
  /** Number of the input under way and its length. */
  readonly counters: Int32Array<SharedArrayBuffer>
  readonly input: Uint8Array<SharedArrayBuffer>
  readonly hangMillis: number
}

const { counters, input, hangMillis } = workerData as Heartbeat
let number = -1
let since = 0
let cpu = process.cpuUsage()

setInterval(() => {
  const now = performance.now()
  if (counters[0] !== number) {
    number = counters[0]!
    since = now
    cpu = process.cpuUsage()
    return
  }
  const { user, system } = process.cpuUsage(cpu)
  // On a machine that others keep busy, only processor time says that it is the input. Waiting for ever is no better.
  const isBusy = (user + system) / 1000 > hangMillis
  if (now - since < hangMillis || !(isBusy || now - since > 20 * hangMillis)) return
  const bytes = Buffer.from(input.slice(0, counters[1])).toString('base64')
  const what = `no answer in ${Math.round(now - since)} ms (${Math.round((user + system) / 1000)} ms of processor time)`
  writeSync(1, `${JSON.stringify({ kind: 'stopped', what, input: bytes })}\n`)
  process.kill(process.pid, 'SIGKILL')
}, 50)
