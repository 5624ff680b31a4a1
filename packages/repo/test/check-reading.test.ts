// How a check that reads all data comes by the packs: into memory that is used again, and never more than there is.

import { PlatterError, type ReadsInto, type Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { PackBuffers } from '../dist/check/pack-buffers.js'
import {
  backUp,
  codeOf,
  copyOf,
  noise,
  objectNames,
  rejection,
  replaceObject,
  SETTINGS,
} from './adversity.ts'

/** A store that reads objects into the memory it is offered, as `LocalStore` does, and notes how it was asked. */
class ReusingStore extends MemoryStore implements ReadsInto {
  offered = 0
  used = 0
  busy = 0
  busiest = 0

  async getInto(...[name, memory, options]: Parameters<ReadsInto['getInto']>): Promise<Uint8Array> {
    const bytes = await this.get(name, options)
    this.offered++
    this.busiest = Math.max(this.busiest, ++this.busy)
    // Long enough for all that can be asked at once to be.
    await new Promise((resolve) => setTimeout(resolve, 5))
    this.busy--
    if (memory.length < bytes.length) return bytes
    this.used++
    memory.set(bytes)
    return memory.subarray(0, bytes.length)
  }
}

/** A repository of some thirty packs. */
async function manyPacks(t: Test, store: Store): Promise<readonly string[]> {
  await Repository.init(store, SETTINGS)
  await using repo = await Repository.open(store)
  await backUp(repo, noise('many packs', 2_000_000))
  const packs = await objectNames(store, 'packs/')
  t.ok(packs.length > 20)
  return packs
}

test('packs are read into memory that is used again', async (t) => {
  for (const workers of [0, 2]) {
    const store = new ReusingStore()
    const packs = await manyPacks(t, store)
    await using repo = await Repository.open(store)
    const report = await repo.check({ readData: true, workers })
    t.same(report.findings, [])
    t.equal(report.packsRead, packs.length)
    t.equal(store.used, packs.length, 'every pack was read into memory that was offered')
    t.ok(store.busiest <= Math.max(1, workers) + 1, 'no more packs are in memory than limits.md says')
  }
})

test('damage is found in memory that held other packs before', async (t) => {
  const store = new ReusingStore()
  const packs = await manyPacks(t, store)
  const damaged = packs.filter((_, i) => i % 5 === 3)
  for (const name of damaged) {
    const bytes = await store.get(name)
    bytes[5000]! ^= 1
    await replaceObject(store, name, bytes)
  }
  await using repo = await Repository.open(store)
  const { findings } = await repo.check({ readData: true, workers: 1 })
  const altered = findings.filter(({ code }) => code === 'ERR_CORRUPT_PACK').map(({ object }) => object)
  t.same(altered.sort(), damaged)
})

test('packs that vanish while a check runs give their memory back', async (t) => {
  const inner = new ReusingStore()
  const packs = await manyPacks(t, inner)
  const gone = new Set(packs.slice(0, 10))
  const store = new Proxy(inner, {
    get(target, key) {
      if (key !== 'getInto')
        return Reflect.get(target, key, target).bind?.(target) ?? Reflect.get(target, key)
      return async (...args: Parameters<ReadsInto['getInto']>) => {
        if (gone.has(args[0])) throw new PlatterError('ERR_NOT_FOUND', 'gone', { object: args[0] })
        return await target.getInto(...args)
      }
    },
  })
  await using repo = await Repository.open(store)
  const { findings, packsRead } = await repo.check({ readData: true, workers: 1 })
  t.equal(packsRead, packs.length - gone.size)
  const missed = new Set(findings.map(({ object }) => object).filter((object) => gone.has(object ?? '')))
  t.equal(missed.size, gone.size)
})

test('a store that fails ends the check, also for packs that wait for memory', async (t) => {
  const inner = new MemoryStore()
  await manyPacks(t, inner)
  for (const workers of [0, 1]) {
    const store = new FaultStore(await copyOf(inner))
    await using repo = await Repository.open(store)
    store.inject({ operation: 'get', name: /^packs\//, nth: 3, fault: { kind: 'error' } })
    t.equal(await codeOf(repo.check({ readData: true, workers })), 'ERR_STORE_IO')
  }
})

test('an abort ends the check, also for packs that wait for memory', async (t) => {
  const store = new ReusingStore()
  await manyPacks(t, store)
  await using repo = await Repository.open(store)
  const reason = new Error('enough')
  const aborter = new AbortController()
  const onProgress = ({ phase }: { phase: string }) => {
    if (phase === 'data') aborter.abort(reason)
  }
  const { signal } = aborter
  t.equal(
    await rejection(repo.check({ readData: true, workers: 1, signal, onProgress, progressMillis: 0 })),
    reason,
  )
})

test('buffers: so many and no more; the first to wait is the first to get one', async (t) => {
  const buffers = new PackBuffers(2, 100)
  const [first, second] = [await buffers.take(), await buffers.take()]
  t.not(first, second)
  const order: string[] = []
  const waiting = ['a', 'b', 'c'].map(async (name) => {
    const buffer = await buffers.take()
    order.push(name)
    return buffer
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.same(order, [])
  buffers.give(first)
  buffers.give(second)
  t.equal(await waiting[0], first)
  t.equal(await waiting[1], second)
  t.same(order, ['a', 'b'])
  const end = new Error('the end')
  buffers.end(end)
  t.equal(await rejection(waiting[2]!), end)
  t.equal(await rejection(buffers.take()), end)
})
