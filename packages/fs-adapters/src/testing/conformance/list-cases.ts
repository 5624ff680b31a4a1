import assert from 'node:assert/strict'
import { listAll, listNames, pattern, type StoreCase } from './conformance-case.ts'

/** Listing. */
export const listCases: readonly StoreCase[] = [
  {
    name: 'an empty store lists nothing',
    async check(store) {
      assert.deepEqual(await listAll(store, ''), [])
    },
  },
  {
    name: 'a prefix selects what lies under it and nothing else',
    async check(store) {
      const names = ['a', 'ab', 'b/c', 'b/c-d', 'b/cd/e', 'b/cd/f/g', 'bc/d']
      for (const name of names) await store.putIfAbsent(name, [pattern(name.length)])
      assert.deepEqual(await listNames(store, ''), names)
      assert.deepEqual(await listNames(store, 'b/'), ['b/c', 'b/c-d', 'b/cd/e', 'b/cd/f/g'])
      assert.deepEqual(await listNames(store, 'b/cd/'), ['b/cd/e', 'b/cd/f/g'])
      assert.deepEqual(await listNames(store, 'b/c/'), [])
      assert.deepEqual(await listNames(store, 'a/'), [])
      for (const stat of await listAll(store, '')) assert.equal(stat.sizeBytes, stat.name.length, stat.name)
    },
  },
  {
    name: 'many objects are all listed, each once',
    async check(store, { manyObjects }) {
      const names = Array.from({ length: manyObjects }, (_, i) => `many/${i % 7}/object-${i}`)
      for (let i = 0; i < names.length; i += 50) {
        const batch = names.slice(i, i + 50)
        await Promise.all(batch.map((name) => store.putIfAbsent(name, [pattern(1)])))
      }
      assert.deepEqual(await listNames(store, 'many/'), names.sort())
    },
  },
  {
    name: 'what existed before a listing is in it, whatever comes and goes meanwhile',
    async check(store) {
      const before = Array.from({ length: 100 }, (_, i) => `before/${i % 10}/${i}`)
      await Promise.all(before.map((name) => store.putIfAbsent(name, [pattern(1)])))
      await Promise.all(before.map((_, i) => store.putIfAbsent(`before/${i % 10}/gone-${i}`, [pattern(1)])))
      const seen: string[] = []
      let i = 0
      for await (const { name } of store.list('before/')) {
        seen.push(name)
        await store.putIfAbsent(`before/${i % 10}/new-${i}`, [pattern(1)])
        await store.delete(`before/${i % 10}/gone-${i}`)
        i++
      }
      assert.equal(new Set(seen).size, seen.length, 'nothing is listed twice')
      const missing = before.filter((name) => !seen.includes(name))
      assert.deepEqual(missing, [], 'nothing is missing')
    },
  },
  {
    name: 'a listing can be left early and begun anew',
    async check(store) {
      for (const name of ['x/1', 'x/2', 'x/3']) await store.putIfAbsent(name, [pattern(1)])
      for await (const _ of store.list('')) break
      assert.equal((await listAll(store, '')).length, 3)
    },
  },
]
