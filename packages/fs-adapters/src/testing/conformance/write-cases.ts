import assert from 'node:assert/strict'
import { PlatterError, type Store } from '@platter/core'
import {
  assertRejects,
  assertSameBytes,
  listAll,
  listNames,
  pattern,
  type StoreCase,
} from './conformance-case.ts'

/** Creating, racing, deleting, aborting. */
export const writeCases: readonly StoreCase[] = [
  {
    name: 'objects of many sizes come back as they were put',
    async check(store) {
      for (const size of [0, 1, 511, 512, 4095, 4096, 4097, 65_536, 1_048_577]) {
        const name = `sizes/${size}`
        assert.equal(await store.putIfAbsent(name, [pattern(size, size)]), 'created')
        assertSameBytes(await store.get(name), pattern(size, size), name)
      }
    },
  },
  {
    name: 'an empty object can be made of no part, an empty part or several',
    async check(store) {
      const nothing = new Uint8Array(0)
      for (const [i, parts] of [[], [nothing], [nothing, nothing]].entries()) {
        const name = `empty/${i}`
        assert.equal(await store.putIfAbsent(name, parts), 'created')
        assert.equal(await store.putIfAbsent(name, parts), 'exists')
        assert.equal((await store.get(name)).length, 0)
        assert.deepEqual(await store.stat(name), { name, sizeBytes: 0 })
      }
    },
  },
  {
    name: 'parts are joined in order, whatever memory they are views of',
    async check(store) {
      const whole = pattern(100_000)
      const parts: Uint8Array[] = []
      for (let at = 0; at < whole.length; at += 31) parts.push(whole.subarray(at, at + 31), new Uint8Array(0))
      await store.putIfAbsent('parts', parts)
      assertSameBytes(await store.get('parts'), whole, 'parts')
    },
  },
  {
    name: 'a large object comes back whole',
    async check(store, { largeObjectBytes }) {
      const bytes = pattern(largeObjectBytes)
      const half = Math.floor(largeObjectBytes / 2)
      await store.putIfAbsent('large', [bytes.subarray(0, half), bytes.subarray(half)])
      assertSameBytes(await store.get('large'), bytes, 'large')
      assert.equal((await store.stat('large'))?.sizeBytes, largeObjectBytes)
    },
  },
  {
    name: 'parts are neither changed nor kept',
    async check(store) {
      const part = pattern(10_000)
      await store.putIfAbsent('copied', [part])
      assertSameBytes(part, pattern(10_000), 'the part after the put')
      part.fill(0)
      assertSameBytes(await store.get('copied'), pattern(10_000), 'the object after the part was changed')
    },
  },
  {
    name: 'a taken name is told, and what stands there stays',
    async check(store) {
      assert.equal(await store.putIfAbsent('taken', [pattern(100, 1)]), 'created')
      assert.equal(await store.putIfAbsent('taken', [pattern(200, 2)]), 'exists')
      assertSameBytes(await store.get('taken'), pattern(100, 1), 'taken')
    },
  },
  {
    name: 'of many racers for a name exactly one is told that it created the object',
    async check(store, { racers, racedNames }) {
      const objects = Array.from({ length: racers }, (_, i) => pattern(5000, i + 1))
      const names = Array.from({ length: racedNames }, (_, i) => `race/${i % 7}/${i}`)
      for (const name of names) {
        const outcomes = await Promise.all(objects.map((object) => store.putIfAbsent(name, [object])))
        const winner = outcomes.indexOf('created')
        assert.ok(winner >= 0, `${name} has a winner`)
        for (const [i, outcome] of outcomes.entries())
          assert.equal(outcome, i === winner ? 'created' : 'exists', `${name}, racer ${i}`)
        assertSameBytes(await store.get(name), objects[winner]!, `${name} is the winner’s`)
      }
      assert.deepEqual(await listNames(store, ''), names.sort(), 'nothing else is left')
    },
  },
  {
    name: 'an object under way is seen whole or not at all',
    async check(store) {
      const bytes = pattern(8_000_000)
      let settled = false
      const put = store.putIfAbsent('slow', [bytes]).finally(() => {
        settled = true
      })
      while (!settled) {
        const seen = await getIfPresent(store, 'slow')
        if (seen) assertSameBytes(seen, bytes, 'seen while under way')
        for (const stat of await listAll(store, ''))
          assert.deepEqual(stat, { name: 'slow', sizeBytes: 8_000_000 })
      }
      assert.equal(await put, 'created')
      assertSameBytes(await store.get('slow'), bytes, 'seen afterwards')
    },
  },
  {
    name: 'a removed object is gone, removing it again is harmless, and its name is free',
    async check(store) {
      await store.putIfAbsent('doomed/a', [pattern(10, 1)])
      await store.putIfAbsent('doomed/b', [pattern(10, 2)])
      await store.delete('doomed/a')
      await store.delete('doomed/a')
      await store.delete('never/was')
      await store.delete('doomed')
      assert.equal(await store.stat('doomed/a'), undefined)
      await assertRejects(store.get('doomed/a'), ['ERR_NOT_FOUND'], 'get of what was removed')
      assert.deepEqual(await listNames(store, ''), ['doomed/b'])
      assert.equal(await store.putIfAbsent('doomed/a', [pattern(10, 3)]), 'created')
      assertSameBytes(await store.get('doomed/a'), pattern(10, 3), 'the new object')
    },
  },
  {
    name: 'a signal that has aborted stops every operation before it has an effect',
    async check(store) {
      await store.putIfAbsent('kept', [pattern(10)])
      const options = { signal: AbortSignal.abort() }
      await assertAborts(() => store.get('kept', options), 'get')
      await assertAborts(() => store.getRange('kept', 0, 1, options), 'getRange')
      await assertAborts(() => store.stat('kept', options), 'stat')
      await assertAborts(() => listAll(store, '', options.signal), 'list')
      await assertAborts(() => store.putIfAbsent('other', [pattern(10)], options), 'putIfAbsent')
      await assertAborts(() => store.delete('kept', options), 'delete')
      assert.deepEqual(await listNames(store, ''), ['kept'])
    },
  },
  {
    name: 'an abort during a put leaves the whole object or nothing',
    async check(store) {
      const bytes = pattern(4_000_000)
      for (let i = 0; i < 20; i++) {
        const name = `aborted/${i}`
        const controller = new AbortController()
        const put = store.putIfAbsent(name, [bytes], { signal: controller.signal })
        setTimeout(() => controller.abort(), i)
        const outcome = await put.catch(() => 'aborted')
        const seen = await getIfPresent(store, name)
        if (outcome === 'created') assert.ok(seen, `${name} was created`)
        if (seen) assertSameBytes(seen, bytes, name)
      }
    },
  },
]

async function getIfPresent(store: Store, name: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(name)
  } catch (error) {
    if (PlatterError.is(error, 'ERR_NOT_FOUND')) return undefined
    throw error
  }
}

async function assertAborts(call: () => Promise<unknown>, what: string): Promise<void> {
  const outcome = await Promise.resolve()
    .then(call)
    .then(
      () => undefined,
      (error: unknown) => error,
    )
  assert.ok(outcome !== undefined, `${what}: expected to be aborted, but it succeeded`)
  assert.ok(!PlatterError.is(outcome, 'ERR_NOT_FOUND'), `${what}: an abort says nothing about absence`)
}
