import type { Store, StoreStat } from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { FaultSource, FaultStore, FaultTarget, storeConformance } from '@platter/fs-adapters/testing'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

async function listAll(store: Store): Promise<StoreStat[]> {
  const found: StoreStat[] = []
  for await (const stat of store.list('')) found.push(stat)
  return found
}

/** Names of the cases that a store fails. */
async function failures(create: () => Store): Promise<string[]> {
  const failed: string[] = []
  const cases = storeConformance(async () => create(), {
    largeObjectBytes: 100_000,
    racers: 8,
    manyObjects: 10,
  })
  for (const { name, run } of cases) await run().catch(() => failed.push(name))
  return failed
}

test('the conformance suite finds stores that break a promise', async (t) => {
  t.same(await failures(() => new MemoryStore()), [], 'a good store')
  const broken: Record<string, new () => Store> = {
    'overwrites what exists': class extends MemoryStore {
      override async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created'> {
        await this.delete(name)
        await super.putIfAbsent(name, parts)
        return 'created'
      }
    },
    'tells every racer that it won': class extends MemoryStore {
      override async putIfAbsent(...args: Parameters<MemoryStore['putIfAbsent']>): Promise<'created'> {
        await super.putIfAbsent(...args)
        return 'created'
      }
    },
    'gives short answers': class extends MemoryStore {
      override async getRange(
        name: string,
        offset: number,
        length: number,
      ): Promise<Uint8Array<ArrayBuffer>> {
        return (await this.get(name)).slice(offset, offset + length)
      }
    },
    'returns pooled memory': class extends MemoryStore {
      override async get(name: string): Promise<Uint8Array<ArrayBuffer>> {
        return Buffer.from(await super.get(name)) as Uint8Array<ArrayBuffer>
      }
    },
    'loses one object in a listing': class extends MemoryStore {
      override async *list(...args: Parameters<MemoryStore['list']>): AsyncIterable<StoreStat> {
        let first = true
        for await (const stat of super.list(...args)) {
          if (!first) yield stat
          first = false
        }
      }
    },
    'lists by string prefix only at the end': class extends MemoryStore {
      override list(prefix: string): AsyncIterable<StoreStat> {
        return super.list(prefix === '' ? '' : prefix.slice(0, 1) === 'b' ? '' : prefix)
      }
    },
    'takes any name': class extends MemoryStore {
      override async stat(name: string): Promise<StoreStat | undefined> {
        return await super.stat(name).catch(() => undefined)
      }
    },
    'ignores maxBytes': class extends MemoryStore {
      override get(name: string): Promise<Uint8Array<ArrayBuffer>> {
        return super.get(name)
      }
    },
    'ignores aborts': class extends MemoryStore {
      override delete(name: string): Promise<void> {
        return super.delete(name)
      }
    },
    'calls absence an error': class extends MemoryStore {
      override async delete(name: string): Promise<void> {
        await this.get(name)
        await super.delete(name)
      }
    },
    'keeps the parts': class extends MemoryStore {
      readonly #kept = new Map<string, Uint8Array<ArrayBuffer>>()
      override async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
        const outcome = await super.putIfAbsent(name, parts)
        if (outcome === 'created' && parts[0]) this.#kept.set(name, parts[0] as Uint8Array<ArrayBuffer>)
        return outcome
      }
      override async get(...args: Parameters<MemoryStore['get']>): Promise<Uint8Array<ArrayBuffer>> {
        await super.get(...args)
        return this.#kept.get(args[0])?.slice() ?? (await super.get(...args))
      }
    },
  }
  for (const [what, Broken] of Object.entries(broken)) {
    const failed = await failures(() => new Broken())
    t.ok(failed.length > 0, `${what}: ${failed.join('; ')}`)
  }
})

test('FaultStore: errors before and after the effect', async (t) => {
  const inner = new MemoryStore()
  const store = new FaultStore(inner)
  store.inject({ operation: 'putIfAbsent', name: /^packs\//, nth: 2, fault: { kind: 'error' } })
  store.inject({
    operation: 'putIfAbsent',
    name: /^packs\//,
    nth: 3,
    times: 2,
    fault: { kind: 'error', when: 'after' },
  })
  await store.putIfAbsent('packs/1', [])
  await store.putIfAbsent('index/1', [])
  await rejection(store.putIfAbsent('packs/2', []), 'ERR_STORE_IO')
  t.equal(await inner.stat('packs/2'), undefined)
  for (const name of ['packs/3', 'packs/4']) {
    await rejection(store.putIfAbsent(name, []), 'ERR_STORE_IO')
    t.ok(await inner.stat(name))
  }
  t.equal(await store.putIfAbsent('packs/5', []), 'created')
  const own = new Error('own')
  store.inject({ operation: 'delete', fault: { kind: 'error', error: own } })
  await t.rejects(store.delete('packs/1'), own)
  t.same(
    store.log.map(({ operation, name, outcome }) => `${operation} ${name} ${outcome}`),
    [
      'putIfAbsent packs/1 done',
      'putIfAbsent index/1 done',
      'putIfAbsent packs/2 failed',
      'putIfAbsent packs/3 failed',
      'putIfAbsent packs/4 failed',
      'putIfAbsent packs/5 done',
      'delete packs/1 failed',
    ],
  )
})

test('FaultStore: cut listings, flipped bits, delays', async (t) => {
  const store = new FaultStore(new MemoryStore())
  for (const name of ['a', 'b', 'c']) await store.putIfAbsent(name, [pattern(100)])
  store.inject({ operation: 'list', fault: { kind: 'cut-list', afterItems: 2 } })
  const seen: string[] = []
  await rejection(
    (async () => {
      for await (const { name } of store.list('')) seen.push(name)
    })(),
    'ERR_STORE_IO',
  )
  t.same(seen, ['a', 'b'])
  store.inject({ operation: 'list', fault: { kind: 'cut-list', afterItems: 3 } })
  await rejection(listAll(store), 'ERR_STORE_IO')
  t.equal((await listAll(store)).length, 3)

  for (const bit of [0, 7, 8, 799]) {
    store.inject({ operation: 'get', name: /^a$/, fault: { kind: 'flip-bit', bit } })
    const flipped = await store.get('a')
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    t.ok(sameBytes(flipped, pattern(100)), `bit ${bit}`)
  }
  t.ok(sameBytes(await store.get('a'), pattern(100)), 'the object itself is whole')
  store.inject({ operation: 'stat', fault: { kind: 'delay', ms: 50 } })
  const began = performance.now()
  await store.stat('a')
  t.ok(performance.now() - began > 40)
})

test('FaultStore: a crash after any number of calls', async (t) => {
  for (const when of ['before', 'after'] as const) {
    for (let n = 0; n < 4; n++) {
      const inner = new MemoryStore()
      const store = new FaultStore(inner)
      store.crashAt({ afterOperations: n, counting: 'changes', when })
      let created = 0
      for (let i = 0; i < 6; i++) {
        await store.stat('reads/do/not/count').catch(() => {})
        await store.putIfAbsent(`object-${i}`, []).then(
          () => created++,
          () => {},
        )
      }
      t.equal(created, n)
      t.equal((await listAll(inner)).length, when === 'after' ? n + 1 : n)
      t.ok(store.crashed)
      await rejection(store.get('object-0'), 'ERR_STORE_IO')
      await rejection(listAll(store), 'ERR_STORE_IO')
      store.heal()
      t.equal(await store.putIfAbsent('alive', []), 'created')
    }
  }
  const store = new FaultStore(new MemoryStore())
  store.crashAt({ afterOperations: 1 })
  await store.stat('a')
  await rejection(store.stat('a'), 'ERR_STORE_IO')
  t.equal(new FaultStore(new MemoryStore()).label, 'memory')
})

test('FaultStore: a crash in the middle of a listing', async (t) => {
  const store = new FaultStore(new MemoryStore())
  for (const name of ['a', 'b', 'c']) await store.putIfAbsent(name, [])
  store.crashAt({ afterOperations: 1 })
  const seen: string[] = []
  await rejection(
    (async () => {
      for await (const { name } of store.list('')) {
        seen.push(name)
        await store.stat('a').catch(() => {})
      }
    })(),
    'ERR_STORE_IO',
  )
  t.same(seen, ['a'])
})

test('FaultSource', async (t) => {
  const image = pattern(10_000)
  const source = new FaultSource(new MemorySource(image), {
    unreadable: [{ offset: 4096, length: 512 }],
    maxReadBytes: 3000,
  })
  const into = new Uint8Array(10_000)
  t.notOk('direct' in source)
  t.equal(await source.read(0, into), 3000, 'short')
  t.equal(await source.read(3000, into), 1096, 'up to the bad range')
  const error = await rejection(source.read(4096, into), 'ERR_SOURCE_READ')
  t.equal(error.details.offset, 4096)
  await rejection(source.read(4607, into), 'ERR_SOURCE_READ')
  t.equal(await source.read(4608, into), 3000)
  t.ok(sameBytes(into.subarray(0, 3000), image.subarray(4608, 7608)))
  t.equal(await source.read(10_000, into), 0)
  t.equal(source.reads, 6)
  await source.assertUnchanged()

  const shrinking = new FaultSource(new MemorySource(image), { resize: { afterReads: 1, sizeBytes: 5000 } })
  t.equal(await shrinking.read(0, into), 10_000)
  t.equal(await shrinking.read(4000, into), 1000)
  await rejection(shrinking.read(5000, into), 'ERR_SOURCE_CHANGED')
  await rejection(shrinking.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  const growing = new FaultSource(new MemorySource(image), { resize: { afterReads: 0, sizeBytes: 20_000 } })
  t.equal(await growing.read(0, into), 10_000)
  await rejection(growing.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  await growing.close()
})

test('FaultTarget', async (t) => {
  const inner = new MemoryTarget()
  const target = new FaultTarget(inner, { failAfterBytes: 1000 })
  await target.prepare(2000)
  await target.write(0, pattern(600))
  await target.zero(600, 300)
  const error = await rejection(target.write(900, pattern(500)), 'ERR_TARGET_FULL')
  t.equal(error.details.offset, 1000)
  await rejection(target.zero(1000, 1), 'ERR_TARGET_FULL')
  t.ok(sameBytes(inner.bytes.subarray(900, 1000), pattern(500).subarray(0, 100)))
  t.equal(await target.read?.(0, new Uint8Array(100)), 100)
  await target.flush()
  await target.close()

  const own = new Error('own')
  await t.rejects(new FaultTarget(new MemoryTarget(), { prepareError: own }).prepare(1), own)
  await t.rejects(new FaultTarget(new MemoryTarget(), { flushError: own }).flush(), own)
  const failing = new FaultTarget(new MemoryTarget(), { failAfterBytes: 0, error: own })
  await failing.prepare(1)
  await t.rejects(failing.write(0, pattern(1)), own)
})
