// Prune: what goes, what stays, and what happens when it is interrupted, raced or short of space.

import { MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type PruneOptions, Repository } from '@platter/repo'
import { test } from 'tap'
import {
  assertSound,
  backUp,
  copyOf,
  diskImage,
  newRepository,
  noise,
  objectNames,
  restored,
  sameBytes,
} from './adversity.ts'

/** Takes every writer that has not committed for dead at once. */
const NOW: PruneOptions = { patienceSeconds: 0 }

test('what no snapshot needs goes, what one needs stays', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const first = diskImage('first')
  const second = Uint8Array.from(first)
  second.set(noise('changed', 70_000), 0)
  const a = await backUp(repo, first)
  const b = await backUp(repo, second)
  t.match(await repo.prune(undefined, NOW), { outcome: 'nothing', packsRemoved: 0 })
  await repo.forget(a.id)
  const plan = await repo.planPrune(NOW)
  t.ok(plan.packs.length > 0)
  t.ok(plan.unusedFractionBefore > 0.05 && plan.unusedFractionAfter <= 0.05, `${plan.unusedFractionAfter}`)
  const report = await repo.prune(undefined, NOW)
  t.match(report, { outcome: 'done', packsRemoved: plan.packs.length })
  await assertSound(t, store, new Map([[b.id, second]]), 'after the prune')
  await repo.forget(b.id)
  await repo.forget('latest')
  t.match(await repo.prune(undefined, NOW), { outcome: 'done' })
  t.same(await objectNames(store, 'packs/'), [])
  t.same(await objectNames(store, 'index/'), [])
  t.same(await objectNames(store, 'sessions/'), [])
})

test('a prune that dies at any change of the store is finished by the next', async (t) => {
  const original = new MemoryStore()
  const repo = await newRepository(original)
  const images = [diskImage('one', 150_000), diskImage('two', 150_000)]
  images.push(Uint8Array.from(images[1]!))
  images[2]!.set(noise('new', 30_000), 10_000)
  const snapshots = [
    await backUp(repo, images[0]!),
    await backUp(repo, images[1]!),
    await backUp(repo, images[2]!),
  ]
  await repo.forget(snapshots[0]!.id)
  await repo.forget(snapshots[1]!.id)
  const had = new Map([[snapshots[2]!.id, images[2]!]])
  let sizeAfter = 0
  for (const when of ['before', 'after'] as const) {
    for (let changes = 0; ; changes++) {
      const store = await copyOf(original)
      const faults = new FaultStore(store)
      faults.crashAt({ afterOperations: changes, counting: 'changes', when })
      const died = await (await Repository.open(faults)).prune(undefined, NOW).then(
        () => false,
        () => true,
      )
      const again = await Repository.open(store)
      if (died) {
        if (!sameBytes(await restored(again, snapshots[2]!.id), images[2]!)) t.fail(`${changes}: lost`)
      }
      await again.prune(undefined, NOW)
      await again.prune(undefined, NOW)
      const packs = await objectNames(store, 'packs/')
      if (!died && when === 'before') sizeAfter = packs.length
      const { findings } = await again.check({ readData: true, workers: 0 })
      t.same(findings, [], `${when} ${changes}`)
      if (!sameBytes(await restored(again, snapshots[2]!.id), images[2]!)) t.fail(`${changes}: lost after`)
      const { unusedFractionAfter } = await again.planPrune(NOW)
      t.ok(unusedFractionAfter <= 0.05)
      if (!died) break
      if (changes % 5 === 0) await assertSound(t, store, had, `${when} ${changes}`)
    }
  }
  t.ok(sizeAfter > 0)
})
