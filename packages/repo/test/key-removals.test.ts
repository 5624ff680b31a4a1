// Removals and additions of key slots that run at once, in every order of their calls, and that die: something always
// opens, and there are never more than may be.
import type { KeySlotId, Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { MAX_KEY_SLOTS } from '../dist/format/limits.js'
import { codeOf, copyOf, ENCRYPTED, KEY_FILE, noise, objectNames, replaceObject } from './adversity.ts'
import { SteppedStore } from './interleaving.ts'

const KEYS: readonly Uint8Array[] = [KEY_FILE, noise('second key', 32)]

interface TwoSlots {
  readonly store: MemoryStore
  /** In the order of `KEYS`. */
  readonly slots: readonly KeySlotId[]
}

async function twoSlots(): Promise<TwoSlots> {
  const store = new MemoryStore()
  await Repository.init(store, ENCRYPTED)
  await using repo = await Repository.open(store, { keyFile: KEYS[0]! })
  const second = await repo.keys.add({ keyFile: KEYS[1]! })
  const first = (await repo.keys.list()).find(({ id }) => id !== second)!.id
  return { store, slots: [first, second] }
}

/** Numbers of the keys that open the repository. */
async function keysThatOpen(store: Store): Promise<number[]> {
  const numbers: number[] = []
  for (const [number, keyFile] of KEYS.entries()) {
    const code = await codeOf(Repository.open(store, { keyFile }).then((repo) => repo.close()))
    if (code === 'success') numbers.push(number)
  }
  return numbers
}

/** Opens the repository with a key; only then is `before` called ahead of every call to the store. */
async function openGated(store: Store, key: number, before: () => Promise<void>): Promise<Repository> {
  let isOpen = false
  const gated = new SteppedStore(store, async () => {
    if (isOpen) await before()
  })
  const repo = await Repository.open(gated, { keyFile: KEYS[key]! })
  isOpen = true
  return repo
}

/** Does two things at once. Whose call is next is what `choices` say, as long as both have one to make. */
async function interleaved(
  original: Store,
  act: (repo: Repository, number: number) => Promise<unknown>,
  choices: readonly number[],
): Promise<{ readonly store: Store; readonly codes: readonly string[]; readonly taken: readonly number[] }> {
  const store = await copyOf(original)
  const waiting: ((() => void) | undefined)[] = [undefined, undefined]
  const codes: string[] = []
  const gates = [0, 1].map((i) => () => new Promise<void>((resolve) => void (waiting[i] = resolve)))
  const repos = await Promise.all(gates.map((gate, i) => openGated(store, i, gate)))
  const running = repos.map(async (repo, i) => {
    codes[i] = await codeOf(act(repo, i))
  })
  const taken: number[] = []
  for (;;) {
    // Until each of them waits for a call of its, or has ended.
    for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
    const ready = [0, 1].filter((i) => waiting[i] !== undefined)
    if (ready.length === 0) break
    const next = ready.length === 1 ? ready[0]! : (choices[taken.length] ?? 0)
    if (ready.length === 2) taken.push(next)
    const go = waiting[next]!
    waiting[next] = undefined
    go()
  }
  await Promise.all(running)
  return { store, codes, taken }
}

/**
 * Every way to hold one of two up at any call while the other gets to any call of its.
 *
 * @param ahead whose the first calls are.
 */
async function inEveryOrder(
  t: Test,
  original: Store,
  ahead: readonly number[],
  act: (repo: Repository, number: number) => Promise<unknown>,
  wrong: (store: Store, codes: readonly string[]) => Promise<string | undefined>,
): Promise<void> {
  for (const first of [0, 1]) {
    for (let before = 0; before <= MAX_CALLS; before++) {
      for (let meanwhile = 1; meanwhile <= MAX_CALLS; meanwhile++) {
        const choices = [
          ...ahead,
          ...new Array<number>(before).fill(first),
          ...new Array<number>(meanwhile).fill(1 - first),
          ...new Array<number>(MAX_CALLS).fill(first),
        ]
        const { store, codes, taken } = await interleaved(original, act, choices)
        const problem = await wrong(store, codes)
        if (problem !== undefined) t.fail(`${taken}: ${problem}`)
        // It had ended before: with more calls it is the same.
        if (!taken.slice(ahead.length + before).includes(first)) break
      }
    }
  }
  t.pass('whatever the order')
}

/** No removal and no addition makes more calls than that. */
const MAX_CALLS = 8
/** Ahead of this call of a removal, counted from 0, its record stands and so does the slot. */
const LAST_CALL_OF_REMOVAL = 5

for (const what of ['their own slots', "each other's"]) {
  test(`two removals, one held up at any call while the other gets to any call: ${what}`, async (t) => {
    const { store: original, slots } = await twoSlots()
    const targets = what === 'their own slots' ? slots : slots.slice().reverse()
    const remove = (repo: Repository, i: number): Promise<unknown> => repo.keys.remove(targets[i]!)
    await inEveryOrder(t, original, [], remove, async (store, codes) => {
      const opening = await keysThatOpen(store)
      if (opening.length !== 1) return `${opening.length} keys open (${codes})`
      return [...codes].sort().join() === 'ERR_LAST_KEY_SLOT,success' ? undefined : codes.join()
    })
  })
}

/** Removes a slot and dies ahead of its call number `call`, counted from 0. Says whether it came so far. */
async function dyingRemoval(store: Store, key: number, slot: KeySlotId, call: number): Promise<boolean> {
  let calls = 0
  const repo = await openGated(store, key, async () => {
    if (calls++ >= call) throw new Error('dead')
  })
  await repo.keys.remove(slot).catch(() => undefined)
  return calls > call
}

/** Something opens; a removal that was broken off can be brought to its end; and the last slot stays. */
async function assertOneStays(
  t: Test,
  store: Store,
  slots: readonly KeySlotId[],
  what: string,
): Promise<void> {
  const [key] = await keysThatOpen(store)
  if (key === undefined) {
    t.fail(`${what}: nothing opens`)
    return
  }
  await using repo = await Repository.open(store, { keyFile: KEYS[key]! })
  for (const slot of slots) {
    const code = await codeOf(repo.keys.remove(slot))
    if (!['success', 'ERR_LAST_KEY_SLOT', 'ERR_NO_KEY_SLOT'].includes(code)) t.fail(`${what}: ${code}`)
  }
  if ((await keysThatOpen(store)).length !== 1) t.fail(`${what}: not one key opens at last`)
}

test('a removal that another one interrupts, and either or both die at any call', async (t) => {
  const { store: original, slots } = await twoSlots()
  for (let at = 0, isReached = true; isReached; at++) {
    for (let death = 0, diedYet = true; diedYet; death++) {
      for (const dies of [true, false]) {
        const store = await copyOf(original)
        let calls = 0
        const repo = await openGated(store, 0, async () => {
          if (calls++ !== at) return
          diedYet = await dyingRemoval(store, 1, slots[1]!, death)
          if (dies) throw new Error('dead')
        })
        await repo.keys.remove(slots[0]!).catch(() => undefined)
        isReached = calls > at
        if (!isReached) diedYet = false
        await assertOneStays(t, store, slots, `interrupted at call ${at} by one that dies at ${death}`)
      }
    }
  }
})

test('a change is a removal too', async (t) => {
  const { store: original, slots } = await twoSlots()
  for (let at = 0, isReached = true; isReached; at++) {
    const store = await copyOf(original)
    const other = await Repository.open(store, { keyFile: KEYS[1]! })
    let calls = 0
    // The second slot becomes another, and whoever sees that other removes it.
    const repo = await openGated(store, 0, async () => {
      if (calls++ !== at) return
      const added = (await other.keys.list()).find(({ id }) => !slots.includes(id))
      if (added !== undefined) await codeOf(other.keys.remove(added.id))
      await codeOf(other.keys.remove(slots[1]!))
    })
    await codeOf(repo.keys.change({ keyFile: noise('third key', 32) }))
    isReached = calls > at
    const keys = [...KEYS, noise('third key', 32)]
    const codes = await Promise.all(keys.map((keyFile) => codeOf(Repository.open(store, { keyFile }))))
    if (!codes.includes('success')) t.fail(`at call ${at}: nothing opens`)
  }
})

test('what cannot be known about removals stops one, and says what to do', async (t) => {
  const { store, slots } = await twoSlots()
  // Its record is there, and the slot stands yet.
  await dyingRemoval(store, 0, slots[0]!, LAST_CALL_OF_REMOVAL)
  const [record] = await objectNames(store, 'key-removals/')
  t.equal(record, 'key-removals/000000')
  await using repo = await Repository.open(store, { keyFile: KEYS[1]! })
  t.equal(await codeOf(repo.keys.remove(slots[1]!)), 'ERR_LAST_KEY_SLOT', 'the other does not count any more')
  const bytes = await store.get(record!)
  await replaceObject(store, record!, bytes.subarray(0, 50))
  t.equal(await codeOf(repo.keys.remove(slots[1]!)), 'ERR_CORRUPT_RECORD')
  t.match((await repo.check()).findings, [{ code: 'ERR_CORRUPT_RECORD', object: record }])
  await replaceObject(store, record!, bytes)
  t.equal(await codeOf(repo.keys.remove(slots[0]!)), 'success')
  t.same(await keysThatOpen(store), [1])
  const added = await repo.keys.add({ keyFile: KEY_FILE })
  t.equal(await codeOf(repo.keys.remove(slots[1]!)), 'success')
  t.same(
    (await repo.keys.list()).map(({ id }) => id),
    [added],
  )
})

/** As many slots as there may be, but for `free`. The first two open with `KEYS`. */
async function nearlyFull(free: number): Promise<MemoryStore> {
  const { store } = await twoSlots()
  await using repo = await Repository.open(store, { keyFile: KEY_FILE })
  for (let i = KEYS.length; i < MAX_KEY_SLOTS - free; i++)
    await repo.keys.add({ keyFile: noise(`slot ${i}`, 32) })
  return store
}

test('two additions where there is place for one, in every order: one is taken back', async (t) => {
  const original = await nearlyFull(1)
  const add = (repo: Repository, i: number): Promise<unknown> =>
    repo.keys.add({ keyFile: noise(`added ${i}`, 32) })
  // Either looks and puts before the other does, or both look before one puts, or both put before one looks again.
  for (const ahead of [[], [0, 1], [0, 1, 0, 1]]) {
    await inEveryOrder(t, original, ahead, add, async (store, codes) => {
      if ([...codes].sort().join() !== 'ERR_LIMIT_EXCEEDED,success') return codes.join()
      const slots = (await objectNames(store, 'keys/')).length
      if (slots !== MAX_KEY_SLOTS) return `${slots} slots`
      const keyFile = noise(`added ${codes.indexOf('success')}`, 32)
      const opened = await codeOf(Repository.open(store, { keyFile }))
      return opened === 'success' ? undefined : `what was added does not open: ${opened}`
    })
  }
})

test('additions that die beyond the limit leave what opens, lists and can be mended', async (t) => {
  const store = await nearlyFull(1)
  const EXTRA = 40
  const adders: Repository[] = []
  // All look before any of them puts its slot, and each dies when it has.
  for (let i = 0; i < EXTRA; i++) {
    let isPut = false
    const dying = new SteppedStore(store, async (call) => {
      if (isPut) throw new Error('dead')
      isPut = call.startsWith('put keys/')
    })
    adders.push(await Repository.open(dying, { keyFile: KEY_FILE }))
  }
  let arrived = 0
  const keys = adders.map((_, i) => noise(`extra ${i}`, 32))
  const all = adders.map(async (repo, i) => {
    const keyFile = async (): Promise<Uint8Array> => {
      arrived++
      while (arrived < EXTRA) await new Promise<void>((resolve) => setImmediate(resolve))
      return keys[i]!
    }
    return await codeOf(repo.keys.add({ keyFile }))
  })
  await Promise.all(all)
  const count = MAX_KEY_SLOTS - 1 + EXTRA
  t.equal((await objectNames(store, 'keys/')).length, count)
  for (const keyFile of [KEY_FILE, keys[0]!, keys.at(-1)!])
    t.equal(await codeOf(Repository.open(store, { keyFile })), 'success')
  await using repo = await Repository.open(store, { keyFile: KEY_FILE })
  const listed = await repo.keys.list()
  t.equal(listed.length, count)
  t.equal(await codeOf(repo.keys.add({ keyFile: noise('one more', 32) })), 'ERR_LIMIT_EXCEEDED')
  t.match((await repo.check()).findings, [{ code: 'ERR_LIMIT_EXCEEDED', object: 'keys/' }])
  for (const { id } of listed.filter(({ inUse }) => !inUse).slice(0, EXTRA)) await repo.keys.remove(id)
  t.same((await repo.check()).findings, [])
  t.equal(await codeOf(repo.keys.add({ keyFile: noise('one more', 32) })), 'success')
})
