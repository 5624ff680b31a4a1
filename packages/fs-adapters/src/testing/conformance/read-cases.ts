import assert from 'node:assert/strict'
import { MAX_STORE_NAME_BYTES, readsInto } from '@platter/core'
import { assertRejects, assertSameBytes, listAll, pattern, type StoreCase } from './conformance-case.ts'

const BAD_NAMES = [
  '',
  '/',
  '/absolute',
  'trailing/',
  'double//slash',
  '.',
  '..',
  'a/../b',
  '../outside',
  './here',
  '.hidden',
  'a/.hidden',
  'Upper',
  'with space',
  'back\\slash',
  'nul\0byte',
  'line\nbreak',
  'ümlaut',
  '-dash-first',
  'x'.repeat(MAX_STORE_NAME_BYTES + 1),
]

const BAD_PREFIXES = ['packs', '/', '../', '/packs/', 'Packs/', 'packs//', './']

/** Names, reading, ranges, absence. */
export const readCases: readonly StoreCase[] = [
  {
    name: 'names that no store may use are refused by every operation',
    async check(store) {
      for (const name of BAD_NAMES) {
        const codes = ['ERR_INVALID_NAME'] as const
        const what = JSON.stringify(name)
        await assertRejects(
          run(() => store.get(name)),
          codes,
          `get ${what}`,
        )
        await assertRejects(
          run(() => store.getRange(name, 0, 1)),
          codes,
          `getRange ${what}`,
        )
        await assertRejects(
          run(() => store.stat(name)),
          codes,
          `stat ${what}`,
        )
        await assertRejects(
          run(() => store.putIfAbsent(name, [pattern(1)])),
          codes,
          `putIfAbsent ${what}`,
        )
        await assertRejects(
          run(() => store.delete(name)),
          codes,
          `delete ${what}`,
        )
      }
      for (const prefix of BAD_PREFIXES) {
        await assertRejects(
          run(() => listAll(store, prefix)),
          ['ERR_INVALID_NAME'],
          `list ${prefix}`,
        )
      }
      assert.deepEqual(await listAll(store, ''), [], 'nothing was created')
    },
  },
  {
    name: 'names at the limits are accepted',
    async check(store) {
      const long = `${'d'.repeat(100)}/${'e'.repeat(100)}/`
      const names = [
        'a',
        '0',
        'a-b_c.d',
        'deep/b/c/d/e/f/g/h',
        long + 'f'.repeat(MAX_STORE_NAME_BYTES - long.length),
      ]
      for (const name of names) {
        assert.equal(await store.putIfAbsent(name, [pattern(7)]), 'created', name)
        assertSameBytes(await store.get(name), pattern(7), name)
      }
    },
  },
  {
    name: 'what is absent is ERR_NOT_FOUND, for stat undefined, and listed as nothing',
    async check(store) {
      await store.putIfAbsent('present/object', [pattern(3)])
      for (const name of ['absent', 'absent/object', 'present/other', 'present']) {
        await assertRejects(store.get(name), ['ERR_NOT_FOUND'], `get ${name}`)
        await assertRejects(store.getRange(name, 0, 1), ['ERR_NOT_FOUND'], `getRange ${name}`)
        await assertRejects(store.getRange(name, 0, 0), ['ERR_NOT_FOUND'], `empty getRange ${name}`)
        assert.equal(await store.stat(name), undefined, `stat ${name}`)
      }
      assert.deepEqual(await listAll(store, 'absent/'), [])
    },
  },
  {
    name: 'stat tells name and size',
    async check(store) {
      await store.putIfAbsent('sized/object', [pattern(12_345)])
      assert.deepEqual(await store.stat('sized/object'), { name: 'sized/object', sizeBytes: 12_345 })
    },
  },
  {
    name: 'a range is given exactly, and one that does not lie within the object is refused',
    async check(store) {
      const bytes = pattern(10_000)
      await store.putIfAbsent('ranged', [bytes])
      for (const [offset, length] of [
        [0, 10_000],
        [0, 1],
        [9_999, 1],
        [4_095, 4_097],
        [5_000, 0],
        [10_000, 0],
      ] as const) {
        const got = await store.getRange('ranged', offset, length)
        assertSameBytes(got, bytes.subarray(offset, offset + length), `range ${offset}+${length}`)
      }
      for (const [offset, length] of [
        [0, 10_001],
        [9_999, 2],
        [10_000, 1],
        [10_001, 0],
        [1_000_000, 10],
        [0, 2 ** 46],
        [2 ** 46, 1],
      ] as const) {
        const what = `range ${offset}+${length}`
        await assertRejects(store.getRange('ranged', offset, length), ['ERR_STORE_IO'], what)
      }
    },
  },
  {
    name: 'maxBytes refuses what is larger, and only that',
    async check(store) {
      await store.putIfAbsent('limited', [pattern(1000)])
      assert.equal((await store.get('limited', { maxBytes: 1000 })).length, 1000)
      await assertRejects(
        store.get('limited', { maxBytes: 999 }),
        ['ERR_LIMIT_EXCEEDED'],
        'one byte too large',
      )
      await assertRejects(store.get('limited', { maxBytes: 0 }), ['ERR_LIMIT_EXCEEDED'], 'maxBytes 0')
    },
  },
  {
    name: 'an object may be read into given memory, and never beyond it',
    async check(store) {
      if (!readsInto(store)) return
      const bytes = pattern(5000)
      await store.putIfAbsent('into', [bytes])
      for (const buffer of [ArrayBuffer, SharedArrayBuffer]) {
        for (const length of [0, 4999, 5000, 9000]) {
          // Part of a larger one, before and behind it.
          const all = new Uint8Array(new buffer(length + 200)).fill(0xaa)
          const memory = all.subarray(100, 100 + length)
          const got = await store.getInto('into', memory)
          assertSameBytes(got, bytes, `get into ${length} bytes`)
          const fits = length >= bytes.length
          assert.equal(got.buffer === all.buffer, fits, 'memory that is long enough is used, and no other')
          if (fits) assert.equal(got.byteOffset, 100, 'the object does not start where the memory does')
          if (fits) got.fill(0xaa)
          assert.ok(
            all.every((byte) => byte === 0xaa),
            'memory that is not part of the answer was changed',
          )
        }
      }
      await assertRejects(
        store.getInto('into', new Uint8Array(9000), { maxBytes: 4999 }),
        ['ERR_LIMIT_EXCEEDED'],
        'one byte too large',
      )
      await assertRejects(store.getInto('none', new Uint8Array(1)), ['ERR_NOT_FOUND'], 'absent')
    },
  },
  {
    name: 'returned bytes belong to the caller',
    async check(store) {
      const bytes = pattern(5000)
      await store.putIfAbsent('owned', [bytes])
      await assertOwned(() => store.get('owned'), bytes, 'get')
      await assertOwned(() => store.getRange('owned', 100, 50), bytes.subarray(100, 150), 'getRange')
      await assertOwned(() => store.getRange('owned', 0, 0), bytes.subarray(0, 0), 'empty getRange')
    },
  },
  {
    name: 'closing twice is harmless',
    async check(store) {
      await store.putIfAbsent('closed', [pattern(1)])
      await store.close()
      await store.close()
    },
  },
]

/** An operation may also throw at once instead of giving a promise that rejects. */
async function run<T>(call: () => Promise<T>): Promise<T> {
  return await call()
}

async function assertOwned(
  read: () => Promise<Uint8Array<ArrayBuffer>>,
  expected: Uint8Array,
  what: string,
): Promise<void> {
  const bytes = await read()
  assert.ok(!Buffer.isBuffer(bytes), `${what}: a plain Uint8Array`)
  assert.equal(bytes.byteOffset, 0, `${what}: byteOffset`)
  assert.equal(bytes.buffer.byteLength, bytes.length, `${what}: spans its whole ArrayBuffer`)
  bytes.fill(0xee)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  assertSameBytes(await read(), expected, `${what} after the first result was changed and transferred`)
}
