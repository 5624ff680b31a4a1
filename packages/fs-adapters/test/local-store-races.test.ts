import { execFile, fork } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { LocalStore } from '@platter/fs-adapters'
import { test } from 'tap'

const WORKER = fileURLToPath(new URL('./race-worker.js', import.meta.url))

interface RaceResult {
  readonly id: string
  readonly round: number
  readonly outcome: string
}

test('64 racers in 8 processes: one winner for each name', async (t) => {
  const path = t.testdir()
  const [workers, racers, rounds] = [8, 8, 12]
  const start = String(Date.now() + 4000)
  const run = async (worker: number): Promise<RaceResult[]> => {
    const args = [WORKER, path, String(worker), String(racers), String(rounds), start]
    // Enough threads that the calls of one process overlap too.
    const env = { ...process.env, UV_THREADPOOL_SIZE: '16' }
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    return JSON.parse(stdout) as RaceResult[]
  }
  const results = (await Promise.all(Array.from({ length: workers }, (_, i) => run(i)))).flat()
  const store = new LocalStore(path)
  for (let round = 0; round < rounds; round++) {
    const racing = results.filter((result) => result.round === round)
    const [winner, ...others] = racing.filter(({ outcome }) => outcome === 'created')
    t.ok(winner && others.length === 0, `name ${round} has one winner`)
    t.equal(racing.filter(({ outcome }) => outcome === 'exists').length, workers * racers - 1, 'no errors')
    const text = new TextDecoder().decode(await store.get(`race/${round}/object`))
    t.equal(text, `racer ${winner?.id} `.repeat(400), 'the object is the winner’s, and whole')
  }
})

test('a writer killed at any moment leaves whole objects or none', async (t) => {
  const path = t.testdir()
  for (let round = 0; round < 12; round++) {
    const child = fork(WORKER, [path, String(round), '1', '200', '0'], { stdio: 'ignore' })
    await delay(100 + round * 15)
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    const store = new LocalStore(path)
    for await (const { name } of store.list('')) {
      const text = new TextDecoder().decode(await store.get(name))
      t.ok(/^(racer \d+\.0 ){400}$/.test(text), `${name} in ${join(path)}`)
    }
  }
})
