import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { SnapshotId } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { test } from 'tap'
import { backUp, newRepository, objectNames, restored, sameBytes } from './adversity.ts'
import { crashImage } from './crash-image.ts'

const KILLS = 20
const CHILD = fileURLToPath(new URL('./crash-child.js', import.meta.url))

test('a process is killed while it backs up', { timeout: 120_000 }, async (t) => {
  const folder = t.testdir()
  const first = await backUp(await newRepository(new LocalStore(folder)), crashImage('first'), {
    name: 'first',
  })
  const known = new Set<SnapshotId>([first.id])
  let committed = 0
  for (let round = 0; round < KILLS; round++) {
    const workers = round % 4 === 3 ? 2 : 0
    const child = spawn(process.execPath, [CHILD, folder, String(round), String(workers)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'close')
    await once(child.stdout, 'data')
    await delay(Math.random() * 200)
    child.kill('SIGKILL')
    const [, signal] = await ended
    t.equal(signal, 'SIGKILL', `round ${round}: it was killed, and had not failed`)

    const repo = await Repository.open(new LocalStore(folder))
    t.ok(
      sameBytes(await restored(repo, first.id), crashImage('first')),
      `round ${round}: the old snapshot restores`,
    )
    for await (const { id, name } of repo.snapshots()) {
      if (known.has(id)) continue
      known.add(id)
      committed++
      t.ok(sameBytes(await restored(repo, id), crashImage(name)), `round ${round}: what is visible is whole`)
    }
    const { findings } = await repo.check({ readData: round % 4 === 0 || round === KILLS - 1, workers: 0 })
    t.same(findings, [], `round ${round}: nothing partial stands under a final name`)
    const name = `${round}-after`
    const { id } = await backUp(repo, crashImage(name), { name })
    known.add(id)
    t.ok(sameBytes(await restored(repo, id), crashImage(name)), `round ${round}: the next backup works`)
  }
  const store = new LocalStore(folder)
  const sessions = new Set((await objectNames(store, 'sessions/')).map((name) => name.split('/')[1]))
  const snapshots = await objectNames(store, 'snapshots/')
  t.equal(snapshots.length, known.size)
  t.comment(`${committed} backups committed before the kills, ${sessions.size - snapshots.length} broken off`)
  t.ok(sessions.size - snapshots.length >= KILLS / 4, 'kills hit backups that were under way')
})
