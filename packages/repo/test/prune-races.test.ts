// Prunes beside backups, restores and each other: whatever the order, what is committed restores.
import { newSessionId, PlatterError, plainRecords, type SessionId } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { Repository, type Snapshot } from '@platter/repo'
import { test } from 'tap'
import { encodeFence } from '../dist/format/gc-records.js'
import { sessionName, snapshotName } from '../dist/format/object-names.js'
import { encodeSession } from '../dist/format/session-record.js'
import {
  assertSound,
  backUp,
  codeOf,
  copyOf,
  diskImage,
  newRepository,
  noise,
  objectNames,
  replaceObject,
  restored,
  sameBytes,
} from './adversity.ts'
import { GONE, IMPATIENT, KEPT, NEW, withGarbage } from './garbage.ts'
import { interruptedAt, SteppedStore, shuffled } from './interleaving.ts'

test('a backup that is interrupted by prunes at any call restores, or was ended cleanly', async (t) => {
  const { store: original, kept } = await withGarbage()
  let committed = 0
  for (const rounds of [1, 2]) {
    for (let call = 0; ; call++) {
      const store = await copyOf(original)
      const pruner = await Repository.open(store)
      const { store: slow, calls } = interruptedAt(store, call, async () => {
        for (let round = 0; round < rounds; round++) await pruner.prune(undefined, IMPATIENT)
      })
      const repo = await Repository.open(slow)
      const outcome = await backUp(repo, NEW).then(
        ({ id }) => id,
        (error: unknown) => error,
      )
      await pruner.prune(undefined, IMPATIENT)
      await pruner.prune(undefined, IMPATIENT)
      const had = new Map([[kept.id, KEPT]])
      if (typeof outcome === 'string') {
        committed++
        had.set(outcome as Snapshot['id'], NEW)
      } else if (!PlatterError.is(outcome, 'ERR_SESSION_FENCED')) {
        t.fail(`${call}: ${String(outcome)}`)
      }
      await assertSound(t, store, had, `${rounds} prunes at call ${call}`)
      if (calls() <= call) break
    }
  }
  t.ok(committed > 5)
})

test('a prune that does not take the backup for dead leaves the rest to the next one', async (t) => {
  const { store: original, kept } = await withGarbage()
  let pending = 0
  for (let call = 0; ; call++) {
    const store = await copyOf(original)
    const pruner = await Repository.open(store)
    const { store: slow, calls } = interruptedAt(store, call, async () => {
      const { outcome, waitingFor } = await pruner.prune()
      if (outcome === 'pending') {
        pending++
        t.equal(waitingFor.length, 1)
      }
    })
    const { id } = await backUp(await Repository.open(slow), NEW)
    t.not((await pruner.prune()).outcome, 'pending')
    await assertSound(
      t,
      store,
      new Map([
        [kept.id, KEPT],
        [id, NEW],
      ]),
      `at call ${call}`,
    )
    if (calls() <= call) break
  }
  t.ok(pending > 5)
})

test('a prune that is interrupted by a backup, or by another prune, at any call loses nothing', async (t) => {
  const { store: original, kept } = await withGarbage()
  for (const meanwhile of ['backup', 'prune', 'both'] as const) {
    for (let call = 0; ; call++) {
      const store = await copyOf(original)
      const had = new Map([[kept.id, KEPT]])
      const other = await Repository.open(store)
      const { store: slow, calls } = interruptedAt(store, call, async () => {
        if (meanwhile !== 'backup') await other.prune(undefined, IMPATIENT)
        if (meanwhile !== 'prune') had.set((await backUp(other, NEW)).id, NEW)
        if (meanwhile === 'both') await other.prune(undefined, IMPATIENT)
      })
      await (await Repository.open(slow)).prune(undefined, IMPATIENT)
      await assertSound(t, store, had, `${meanwhile} at call ${call}`)
      if (calls() <= call) break
    }
  }
})

test('backups, restores and prunes in any order', async (t) => {
  const { store: original, kept } = await withGarbage()
  const images = [NEW, diskImage('another', 100_000), GONE]
  for (let seed = 1; seed <= 25; seed++) {
    const store = await copyOf(original)
    const repos: Repository[] = []
    for (let i = 0; i < 6; i++) repos.push(await Repository.open(shuffled(store, seed * 10 + i)))
    const had = new Map([[kept.id, KEPT]])
    const backups = images.map(async (image, i) => {
      try {
        had.set((await backUp(repos[i]!, image, { name: `disk ${i}` })).id, image)
      } catch (error) {
        if (!PlatterError.is(error, 'ERR_SESSION_FENCED')) t.fail(`${seed}: ${String(error)}`)
      }
    })
    const prunes = [3, 4].map(async (i) => {
      for (let round = 0; round < 3; round++) await repos[i]!.prune(undefined, IMPATIENT)
    })
    const restores = (async () => {
      for (let round = 0; round < 3; round++)
        if (!sameBytes(await restored(repos[5]!, kept.id), KEPT)) t.fail(`${seed}: restored other bytes`)
    })()
    await Promise.all([...backups, ...prunes, restores])
    await assertSound(t, store, had, `seed ${seed}`)
  }
})

test('an image that is open while everything moves reads on', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = diskImage('moving', 200_000)
  const changed = Uint8Array.from(image)
  changed.set(noise('changed', 90_000), 0)
  const first = await backUp(repo, image)
  const second = await backUp(repo, changed)
  await using open = await repo.openImage(second.id, { cacheBytes: 0 })
  t.ok(sameBytes(await open.read(0, 1000), changed.subarray(0, 1000)))
  await repo.forget(first.id)
  const pruner = await Repository.open(store)
  const { bytesRepacked } = await pruner.prune(undefined, { ...IMPATIENT, maxUnusedFraction: 0 })
  t.ok(bytesRepacked > 0)
  t.ok(sameBytes(await open.read(0, changed.length), changed))
})

test('a restore during which its packs are replaced ends well', async (t) => {
  const { store: original } = await withGarbage()
  const repo = await Repository.open(original)
  const { id } = await backUp(repo, NEW)
  for (let call = 0; ; call++) {
    const store = await copyOf(original)
    const pruner = await Repository.open(store)
    const { store: slow, calls } = interruptedAt(store, call, async () => {
      await pruner.prune(undefined, { ...IMPATIENT, maxUnusedFraction: 0 })
    })
    t.ok(sameBytes(await restored(await Repository.open(slow), id), NEW), `at call ${call}`)
    if (calls() <= call) break
  }
  t.equal(await codeOf(repo.restore('feedfeed', undefined as never)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.ok((await objectNames(original, 'packs/')).length > 0)
})

/** A store that does `meanwhile` ahead of the first call that is like `call`. */
function beforeFirst(store: MemoryStore, call: RegExp, meanwhile: () => Promise<void>): SteppedStore {
  let isDone = false
  return new SteppedStore(store, async (made) => {
    if (isDone || !call.test(made)) return
    isDone = true
    await meanwhile()
  })
}

test('a session that another prune tidies away while its record is about to be read is no error', async (t) => {
  const { store, kept } = await withGarbage()
  const other = await Repository.open(store)
  let finish: () => void = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  let commits: () => void = () => {}
  const committing = new Promise<void>((resolve) => {
    commits = resolve
  })
  const paused = beforeFirst(store, /^put snapshots\//, async () => {
    commits()
    await finished
  })
  const backup = backUp(await Repository.open(paused), NEW)
  await committing
  let met = false
  const slow = beforeFirst(store, /^get sessions\//, async () => {
    met = true
    finish()
    await backup
    await other.prune()
    t.same(await objectNames(store, 'sessions/'), [])
  })
  await (await Repository.open(slow)).prune()
  t.ok(met)
  const { id } = await backup
  await assertSound(
    t,
    store,
    new Map([
      [kept.id, KEPT],
      [id, NEW],
    ]),
    'afterwards',
  )
})

test('sessions that end one after the other while their records are about to be read are no error', async (t) => {
  const { store } = await withGarbage()
  // More than can be met anew by listing them again as often as a prune does.
  const sessions = Array.from({ length: 80 }, (_, i) =>
    newSessionId((length) => noise(`session ${i}`, length)),
  )
  for (const id of sessions) {
    const name = sessionName(id, 0)
    const record = { generation: 0, timeMillis: Date.now(), ended: false }
    await store.putIfAbsent(name, encodeSession(name, record, plainRecords))
  }
  const ending = new SteppedStore(store, async (call) => {
    const id = /^get sessions\/([0-9a-f]+)\//.exec(call)?.[1] as SessionId | undefined
    if (id === undefined) return
    const fence = encodeFence(id, { collectorOf: undefined }, plainRecords)
    await store.putIfAbsent(snapshotName(id), fence)
    await store.delete(sessionName(id, 0))
  })
  t.equal((await (await Repository.open(ending)).prune()).outcome, 'done')
  t.same(await objectNames(store, 'sessions/'), [])
})

test('an index segment that a repair replaces while it is about to be read is no error', async (t) => {
  const { store, kept } = await withGarbage()
  const [damaged] = await objectNames(store, 'index/')
  await replaceObject(store, damaged!, (await store.get(damaged!)).subarray(0, 50))
  const other = await Repository.open(store)
  let met = false
  const slow = beforeFirst(store, new RegExp(`^get ${damaged}$`), async () => {
    met = true
    await other.repairIndex()
    t.notOk((await objectNames(store, 'index/')).includes(damaged!))
  })
  await (await Repository.open(slow)).prune(undefined, IMPATIENT)
  t.ok(met)
  await assertSound(t, store, new Map([[kept.id, KEPT]]), 'afterwards')
})
