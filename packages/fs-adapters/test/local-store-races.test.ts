import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LocalStore } from '@platter/fs-adapters'
import { test } from 'tap'
import { bareNode } from './bare-node.ts'
import { objectOf } from './race-objects.ts'
import { raceProcesses } from './races.ts'

const WORKER = fileURLToPath(new URL('./race-worker.js', import.meta.url))
const MEMORY = '/dev/shm'
const RACERS = { processes: 8, racersPerProcess: 8 }

test('64 racers in 8 processes: one winner for each name', async (t) => {
  const { wins } = await raceProcesses({ ...RACERS, folder: t.testdir(), names: 60 })
  t.ok(wins.filter((won) => won > 0).length > 1, `they met: ${wins.join()}`)
})

test('the same on a file system in memory', { skip: !existsSync(MEMORY) }, async (t) => {
  const folder = mkdtempSync(`${MEMORY}/platter-races-`)
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { wins } = await raceProcesses({ ...RACERS, folder, names: 200 })
  t.ok(wins.filter((won) => won > 0).length > 1, `they met: ${wins.join()}`)
})

test('a writer killed at any moment leaves whole objects or none', async (t) => {
  const path = t.testdir()
  for (let round = 0; round < 12; round++) {
    const child = spawn(...bareNode(WORKER, path, String(round), '1'), { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.on('error', () => {})
    await once(child.stdout, 'data')
    child.stdout.resume()
    for (let batch = 0; batch < 20; batch++) {
      const names = Array.from({ length: 10 }, (_, i) => `race/${round}/${batch}-${i}`)
      child.stdin.write(`${JSON.stringify(names)}\n`)
    }
    await delay(30 + round * 15)
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
  }
  const store = new LocalStore(path)
  let objects = 0
  for await (const { name } of store.list('')) {
    objects++
    const racer = `${name.split('/')[1]}.0`
    if (Buffer.compare(await store.get(name), objectOf(name, racer)) !== 0) t.fail(`${name} is not whole`)
  }
  t.comment(`${objects} objects`)
  t.ok(objects > 0)
})
