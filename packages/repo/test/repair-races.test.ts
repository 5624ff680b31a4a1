// Repairs beside prunes, backups and each other, held up at any call: what is committed restores.
import type { SnapshotId, Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { type PruneOptions, Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import {
  assertSound,
  backUp,
  codeOf,
  copyOf,
  newRepository,
  noise,
  objectNames,
  replaceObject,
  restored,
  sameBytes,
} from './adversity.ts'
import { GONE, IMPATIENT, KEPT, NEW, withGarbage } from './garbage.ts'
import { interruptedAt, SteppedStore } from './interleaving.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
/** And moves nothing. */
const LAZY: PruneOptions = { ...IMPATIENT, maxUnusedFraction: 1 }

for (const repair of ['index', 'packs'] as const) {
  const stride = repair === 'index' || LONG ? 1 : 3
  const mend = async (store: Store): Promise<void> => {
    const repo = await Repository.open(store)
    await (repair === 'index' ? repo.repairIndex() : repo.repairPacks({ workers: 0 }))
  }

  test(`a prune that a repair of ${repair} ends at any call, and that goes on after a backup, loses nothing`, async (t) => {
    const { store: original, kept } = await withGarbage()
    for (let call = 0; ; call += stride) {
      const store = await copyOf(original)
      const had = new Map([[kept.id, KEPT]])
      const { store: slow, calls } = interruptedAt(store, call, async () => {
        await mend(store)
        had.set((await backUp(await Repository.open(store), NEW)).id, NEW)
      })
      await (await Repository.open(slow)).prune(undefined, IMPATIENT)
      await assertSound(t, store, had, `at call ${call}`)
      if (calls() <= call) break
    }
  })

  test(`a repair of ${repair} that meets a prune which goes on at any call, or begins, loses nothing`, async (t) => {
    const { store: original, kept } = await withGarbage()
    const halted = new SteppedStore(original, async (call) => {
      if (call === 'put gc/1.sweep') throw new Error('the prune dies')
    })
    await codeOf((await Repository.open(halted)).prune(undefined, IMPATIENT))
    t.same(await objectNames(original, 'gc/'), ['gc/1.mark'])
    for (let call = 0; ; call += stride) {
      const store = await copyOf(original)
      const had = new Map([[kept.id, KEPT]])
      const { store: slow, calls } = interruptedAt(store, call, async () => {
        const repo = await Repository.open(store)
        await repo.prune(undefined, IMPATIENT)
        had.set((await backUp(repo, NEW)).id, NEW)
        await repo.prune(undefined, IMPATIENT)
      })
      const code = await codeOf(mend(slow))
      if (!['success', 'ERR_SESSION_FENCED'].includes(code)) t.fail(`${call}: ${code}`)
      await assertSound(t, store, had, `at call ${call}`)
      if (calls() <= call) break
    }
  })
}

/** Snapshots that are there and their images. */
type Images = ReadonlyMap<SnapshotId, Uint8Array>

/**
 * A repository in which all packs are damaged that nothing needs, beside others in the same index segment that a
 * snapshot needs; and packs of another snapshot that is forgotten.
 */
async function withWorthlessDamage(): Promise<{ readonly store: MemoryStore; readonly images: Images }> {
  const shared = noise('shared', 131_072)
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const first = await backUp(repo, new Uint8Array([...shared, ...noise('worthless', 140_000)]))
  const packs = await objectNames(store, 'packs/')
  const image = new Uint8Array([...shared, ...noise('own', 10_000)])
  const images = new Map([[(await backUp(repo, image, { name: 'second' })).id, image]])
  await repo.forget(first.id)
  await repo.forget((await backUp(repo, GONE, { name: 'garbage' })).id)
  let damaged = 0
  for (const pack of packs) {
    const bytes = await store.get(pack)
    await replaceObject(store, pack, bytes.subarray(0, 100))
    const { damage } = await (await Repository.open(store)).repairPacks({ workers: 0, dryRun: true })
    if (damage.length === 0) damaged++
    else await replaceObject(store, pack, bytes)
  }
  if (damaged === 0 || damaged === packs.length) throw new Error('There is nothing to be mixed up.')
  return { store, images }
}

for (const repairs of [false, true]) {
  test(`a repair that is held up at any call, until prunes${repairs ? ' and another repair' : ''} took it for dead`, async (t) => {
    const stride = repairs && !LONG ? 2 : 1
    const { store: original, images } = await withWorthlessDamage()
    for (let call = 0; ; call += stride) {
      const store = await copyOf(original)
      const { store: slow, calls } = interruptedAt(store, call, async () => {
        const other = await Repository.open(store)
        await other.prune(undefined, LAZY)
        if (repairs) await other.repairPacks({ workers: 0 })
        await other.prune(undefined, LAZY)
      })
      const repo = await Repository.open(slow)
      const code = await codeOf(repo.repairPacks({ workers: 0 }))
      if (!['success', 'ERR_SESSION_FENCED'].includes(code)) t.fail(`${call}: ${code}`)
      await assertAllThere(t, store, images, `held up at call ${call}`)
      if (calls() <= call) break
    }
  })
}

/** A prune before it is looked at, and one afterwards: what is listed nowhere any more would go. */
async function assertAllThere(t: Test, store: MemoryStore, images: Images, what: string): Promise<void> {
  await (await Repository.open(store)).repairPacks({ workers: 0 })
  await (await Repository.open(store)).prune(undefined, LAZY)
  await assertSound(t, store, images, what)
}

test('a repair of packs does not take for lost what a backup commits while it runs', async (t) => {
  const { store: original } = await withGarbage()
  for (let call = 0; ; call++) {
    const store = await copyOf(original)
    const { store: slow, calls } = interruptedAt(store, call, async () => {
      await backUp(await Repository.open(store), NEW)
    })
    const { damage } = await (await Repository.open(slow)).repairPacks({ workers: 0, dryRun: true })
    t.same(damage, [], `a backup at call ${call}`)
    if (calls() <= call) break
  }
})

test('a repair of packs does not take for lost what a prune that ended its session has moved', async (t) => {
  const { store } = await withGarbage()
  const image = new Uint8Array([...GONE.subarray(0, 50_000), ...noise('tail', 20_000)])
  const { id } = await backUp(await Repository.open(store), image, { name: 'moved' })
  let isPruned = false
  const slow = new SteppedStore(store, async (call) => {
    if (isPruned || call !== 'list packs/') return
    isPruned = true
    const pruner = await Repository.open(store)
    const { bytesRepacked } = await pruner.prune(undefined, { ...IMPATIENT, maxUnusedFraction: 0 })
    t.ok(bytesRepacked > 0)
  })
  t.equal(await codeOf((await Repository.open(slow)).repairPacks({ workers: 0 })), 'ERR_SESSION_FENCED')
  t.same(await objectNames(store, 'damage/'), [])
  t.ok(sameBytes(await restored(await Repository.open(store), id), image))
})
