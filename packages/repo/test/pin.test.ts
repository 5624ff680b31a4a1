// The pin: no history of clients that do as they should raises an alarm, and every step back does.
import { PlatterError, type SnapshotId, type StatePin, type Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type OpenOptions, Repository, type Warning } from '@platter/repo'
import fc from 'fast-check'
import { test } from 'tap'
import { decodePin, encodePin, type PinnedKind, type PinState } from '../dist/pin/pin-state.js'
import { PinnedState } from '../dist/pin/pinned-state.js'
import {
  backUp,
  codeOf,
  codeOfCall,
  collected,
  copyOf,
  ENCRYPTED,
  KEY_FILE,
  noise,
  objectNames,
  rejection,
  replaceObject,
  restored,
  SETTINGS,
} from './adversity.ts'
import { MemoryPin } from './memory-pin.ts'

const OTHER_KEY_FILE = noise('another key file', 32)
const PRUNE = { patienceSeconds: 0, maxUnusedFraction: 0 }

function optionsOf(isEncrypted: boolean, pin: StatePin | undefined, more: OpenOptions = {}): OpenOptions {
  return { ...(isEncrypted ? { keyFile: KEY_FILE } : {}), ...(pin === undefined ? {} : { pin }), ...more }
}

/** Opens with whichever key still does. */
async function openPinned(store: Store, isEncrypted: boolean, pin?: StatePin): Promise<Repository> {
  try {
    return await Repository.open(store, optionsOf(isEncrypted, pin))
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_NO_KEY_SLOT') && !PlatterError.is(error, 'ERR_WRONG_PASSPHRASE'))
      throw error
    return await Repository.open(store, optionsOf(isEncrypted, pin, { keyFile: OTHER_KEY_FILE }))
  }
}

// --- histories -------------------------------------------------------------------------------------------------

const STEPS = [
  'backup',
  'died',
  'forget',
  'forget all',
  'prune',
  'half prune',
  'key',
  'list',
  'repair',
] as const
type Step = (typeof STEPS)[number]

interface Moment {
  readonly objects: ReadonlyMap<string, Uint8Array>
}

/** Clients with pins of their own, and two that share one. */
class PinnedHistory {
  readonly store = new MemoryStore()
  readonly pins = [new MemoryPin(), new MemoryPin()]
  readonly moments: Moment[] = []
  readonly #isEncrypted: boolean
  readonly #clients: readonly (MemoryPin | undefined)[]
  #count = 0

  constructor(isEncrypted: boolean) {
    this.#isEncrypted = isEncrypted
    this.#clients = [this.pins[0], this.pins[0], this.pins[1], undefined]
  }

  async begin(): Promise<void> {
    await Repository.init(this.store, this.#isEncrypted ? ENCRYPTED : SETTINGS)
    for (const pin of this.pins) await this.#with(pin, () => Promise.resolve())
    await this.#remember()
  }

  async step(step: Step, client: number, choice: number): Promise<void> {
    const pin = this.#clients[client % this.#clients.length]
    await this.#with(pin, (repo) => this.#do(step, repo, choice))
    await this.#remember()
  }

  async #with(pin: StatePin | undefined, work: (repo: Repository) => Promise<unknown>): Promise<void> {
    const repo = await openPinned(this.store, this.#isEncrypted, pin)
    await work(repo)
    await repo.close()
  }

  async #do(step: Step, repo: Repository, choice: number): Promise<void> {
    const image = noise(`image ${this.#count++ % 3}`, 6000)
    const ids = (await collected(repo.snapshots())).map(({ id }) => id)
    switch (step) {
      case 'backup':
        await backUp(repo, image)
        break
      case 'died':
        await this.#die((dying) => backUp(dying, image), choice)
        break
      case 'forget':
        if (ids.length > 0) await repo.forget(ids[choice % ids.length]!)
        break
      case 'forget all':
        await repo.applyForget(await repo.planForget({ policy: { keepLast: 1 } }))
        break
      case 'prune':
        await repo.prune(undefined, PRUNE)
        break
      case 'half prune':
        await this.#die((dying) => dying.prune(undefined, PRUNE), choice)
        break
      case 'key':
        if (this.#isEncrypted) await changeKeys(repo, choice)
        break
      case 'repair':
        await codeOf(repo.repairIndex())
        break
      default:
        await repo.stats()
    }
  }

  /** Somebody whose process, or way to the store, ends in the middle of something. */
  async #die(work: (repo: Repository) => Promise<unknown>, choice: number): Promise<void> {
    const faults = new FaultStore(this.store)
    const repo = await openPinned(faults, this.#isEncrypted, this.pins[choice % 2])
    faults.crashAt({ afterOperations: 1 + (choice % 7), counting: 'changes' })
    await work(repo).catch(() => undefined)
    await repo.close()
  }

  async #remember(): Promise<void> {
    const objects = new Map<string, Uint8Array>()
    for (const name of await objectNames(this.store)) objects.set(name, await this.store.get(name))
    this.moments.push({ objects })
  }
}

async function changeKeys(repo: Repository, choice: number): Promise<void> {
  const slots = await repo.keys.list()
  if (slots.length > 2) await repo.keys.remove(slots.find(({ inUse }) => !inUse)!.id)
  else if (choice % 3 === 0) await repo.keys.change({ keyFile: choice % 2 === 0 ? KEY_FILE : OTHER_KEY_FILE })
  else await repo.keys.add({ keyFile: choice % 2 === 0 ? KEY_FILE : OTHER_KEY_FILE })
}

async function storeAt({ objects }: Moment): Promise<MemoryStore> {
  const store = new MemoryStore()
  for (const [name, bytes] of objects) await store.putIfAbsent(name, [bytes])
  return store
}

/** What opening a store with a copy of a pin comes to. */
async function verdict(store: Store, isEncrypted: boolean, pin: MemoryPin): Promise<string> {
  return await codeOf(openPinned(store, isEncrypted, new MemoryPin(pin.bytes)).then((repo) => repo.close()))
}

/** Every step back from the end of a history is found with each of its pins. */
async function assertNoWayBack(history: PinnedHistory, isEncrypted: boolean): Promise<number> {
  const now = history.moments.at(-1)!
  let found = 0
  for (const pin of history.pins) {
    // Up to date, as after any open.
    await (await openPinned(history.store, isEncrypted, pin)).close()
    const { objects } = decodePin(pin.bytes!, 'pin')
    const kept = [...objects].filter(([, { kind }]) => kind !== 'removed slot' && kind !== 'slot')
    for (const moment of history.moments) {
      const lacks = kept.some(([name]) => !moment.objects.has(name))
      const isBack = [...objects].some(
        ([name, { kind }]) => kind === 'removed slot' && moment.objects.has(name),
      )
      const code = await verdict(await storeAt(moment), isEncrypted, pin)
      if ((code === 'ERR_ROLLBACK') !== (lacks || isBack)) throw new Error(`an earlier state: ${code}`)
      found++
    }
    for (const [name, { kind }] of objects) {
      if (kind === 'slot') continue
      const store = await storeAt(now)
      if (kind === 'removed slot') {
        const slot = history.moments
          .map((moment) => moment.objects.get(name))
          .find((bytes) => bytes !== undefined)
        // Who removed it may be the only one who ever saw it.
        if (slot === undefined) continue
        await store.putIfAbsent(name, [slot])
      } else await store.delete(name)
      const code = await verdict(store, isEncrypted, pin)
      if (code !== 'ERR_ROLLBACK') throw new Error(`${kind} ${name}: ${code}`)
      found++
    }
  }
  return found
}

const RUNS = process.env.PLATTER_LONG_TESTS === '1' ? 300 : 12

for (const isEncrypted of [true, false]) {
  test(`histories raise no alarm, and every step back from them does, ${isEncrypted ? 'encrypted' : 'plain'}`, {
    timeout: 600_000,
  }, async (t) => {
    let found = 0
    const steps = fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat(3), fc.nat(1000)), {
      minLength: 3,
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const history = new PinnedHistory(isEncrypted)
        await history.begin()
        for (const step of list) await history.step(...step)
        found += await assertNoWayBack(history, isEncrypted)
      }),
      { numRuns: RUNS, endOnFailure: true },
    )
    t.ok(found > 50, `${found} steps back`)
  })
}

test('clients that work at the same time raise no alarm', { timeout: 240_000 }, async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, ENCRYPTED)
  const pin = new MemoryPin()
  for (let round = 0; round < 3; round++) {
    const repos = await Promise.all([0, 1, 2, 3].map(() => Repository.open(store, optionsOf(true, pin))))
    const [a, b, c, d] = repos as [Repository, Repository, Repository, Repository]
    const work = [
      backUp(a, noise(`a${round}`, 6000)).then(({ id }) => b.forget(id)),
      backUp(b, noise(`b${round}`, 6000)),
      c.prune(undefined, PRUNE),
      d.keys.add({ keyFile: OTHER_KEY_FILE }).then((id) => c.keys.remove(id)),
      collected(d.snapshots()),
      c.stats(),
    ]
    for (const outcome of await Promise.allSettled(work))
      if (outcome.status === 'rejected') t.match(String(outcome.reason), /FENCED|ended|missing/i)
    await Promise.all(repos.map((repo) => repo.close()))
  }
  t.equal(await codeOf(Repository.open(store, optionsOf(true, pin))), 'success')
})

// --- single cases ----------------------------------------------------------------------------------------------

/** An encrypted repository with two snapshots, one forgotten, a prune, a removed key slot, and its pin. */
async function victim(isEncrypted = true): Promise<{ store: MemoryStore; pin: MemoryPin; kept: SnapshotId }> {
  const store = new MemoryStore()
  await Repository.init(store, isEncrypted ? ENCRYPTED : SETTINGS)
  const pin = new MemoryPin()
  const now = (): Date => new Date(Date.UTC(2026, 10, 22, 14, 31, 7))
  const repo = await Repository.open(store, optionsOf(isEncrypted, pin, { now }))
  const { id } = await backUp(repo, noise('gone', 6000))
  const { id: kept } = await backUp(repo, noise('kept', 6000))
  await repo.forget(id)
  await repo.prune(undefined, PRUNE)
  await repo.close()
  return { store, pin, kept }
}

async function open(store: Store, pin: StatePin | undefined, options: OpenOptions = {}): Promise<Repository> {
  return await Repository.open(store, optionsOf(true, pin, options))
}

test('an alarm says what is missing and since when it was there', async (t) => {
  const { store, pin, kept } = await victim()
  await store.delete(`snapshots/${kept}`)
  const error = (await rejection(open(store, pin))) as PlatterError
  t.equal(error.code, 'ERR_ROLLBACK')
  t.match(error.message, `the snapshot snapshots/${kept}, seen since 2026-11-22T14:31:07.000Z, is missing`)
  t.same(error.details.objects, [`snapshots/${kept}`])
  t.equal(error.details.object, `snapshots/${kept}`)
  t.equal(error.details.path, 'memory')

  const all = await victim()
  for (const name of await objectNames(all.store, 'gc/')) await all.store.delete(name)
  await all.store.delete(`snapshots/${all.kept}`)
  await all.store.delete((await objectNames(all.store, 'forget/'))[0]!)
  const many = (await rejection(open(all.store, all.pin))) as PlatterError
  t.equal(many.details.objects?.length, 5, 'all of it at once')
})

test('a removed key slot that is back', async (t) => {
  const { store, pin } = await victim()
  const repo = await open(store, pin)
  const id = await repo.keys.add({ keyFile: OTHER_KEY_FILE })
  const slot = await store.get(`keys/${id}`)
  await repo.keys.remove(id)
  await repo.close()
  await store.putIfAbsent(`keys/${id}`, [slot])
  const error = (await rejection(open(store, pin))) as PlatterError
  t.equal(error.code, 'ERR_ROLLBACK')
  t.match(error.message, new RegExp(`the key slot keys/${id}, removed since .*, is back`))
  t.same(error.details.objects, [`keys/${id}`])
})

test('a fence in the place of a snapshot', async (t) => {
  const { store, pin, kept } = await victim()
  await replaceObject(store, `snapshots/${kept}`, noise('as long as a fence', 256))
  t.match((await rejection(open(store, pin))) as Error, {
    code: 'ERR_ROLLBACK',
    message: /has become another/,
  })
})

test('another repository, as a whole', async (t) => {
  const { pin } = await victim()
  const other = await victim()
  t.match((await rejection(open(other.store, pin))) as Error, {
    code: 'ERR_ROLLBACK',
    message: /the repository is another/,
  })
  const plain = await victim(false)
  // Nobody asks for a passphrase then.
  t.equal(await codeOf(Repository.open(plain.store, { pin })), 'ERR_ROLLBACK')
  t.equal(await codeOf(Repository.open(plain.store, { pin, keyFile: KEY_FILE })), 'ERR_ROLLBACK')

  // A config that is damaged is told of as such.
  const damaged = await copyOf(other.store)
  const config = await damaged.get('config')
  config[40]! ^= 1
  await replaceObject(damaged, 'config', config)
  t.equal(await codeOf(open(damaged, other.pin)), 'ERR_CORRUPT_CONFIG')
  await replaceObject(damaged, 'config', undefined)
  t.equal(await codeOf(open(damaged, other.pin)), 'ERR_REPOSITORY_NOT_FOUND')
})

test('a store that shows all when it is opened, and less later', async (t) => {
  const { store, pin, kept } = await victim()
  const repo = await open(store, pin)
  const record = await store.get(`snapshots/${kept}`)
  await store.delete(`snapshots/${kept}`)
  t.equal(await codeOf(collected(repo.snapshots())), 'ERR_ROLLBACK', 'listing')
  t.equal(await codeOf(restored(repo, 'latest')), 'ERR_ROLLBACK', 'latest')
  t.equal(await codeOf(repo.check({ workers: 0 })), 'ERR_ROLLBACK', 'check')
  t.equal(await codeOf(repo.prune(undefined, PRUNE)), 'ERR_ROLLBACK', 'prune')
  t.equal(await codeOf(backUp(repo, noise('next', 6000))), 'ERR_ROLLBACK', 'backup')
  await store.putIfAbsent(`snapshots/${kept}`, [record])
  t.ok((await restored(repo, 'latest')).length > 0, 'all is well again')

  // What was committed here is known at once.
  const { id } = await backUp(repo, noise('next', 6000))
  await store.delete(`snapshots/${id}`)
  t.equal(await codeOf(collected(repo.snapshots())), 'ERR_ROLLBACK')
  t.equal(await codeOf(open(store, new MemoryPin(pin.bytes))), 'ERR_ROLLBACK', 'and in the pin')
})

test('the present state can be accepted', async (t) => {
  const { store, pin, kept } = await victim()
  await store.delete(`snapshots/${kept}`)
  const warnings: Warning[] = []
  const onWarning = (warning: Warning): void => {
    warnings.push(warning)
  }
  await (await open(store, pin, { acceptRollback: true, onWarning })).close()
  t.match(warnings, [{ code: 'WARN_ROLLBACK_ACCEPTED', message: new RegExp(`${kept}, seen since`) }])
  t.equal(await codeOf(open(store, pin)), 'success')

  // Another repository; and a pin that cannot be read.
  const other = await victim()
  await (await open(other.store, pin, { acceptRollback: true, onWarning })).close()
  t.match(warnings.at(-1), { code: 'WARN_ROLLBACK_ACCEPTED', message: /the repository is another/ })
  t.equal(await codeOf(open(other.store, pin)), 'success')
  t.equal(await codeOf(open(store, pin)), 'ERR_ROLLBACK')
  pin.bytes = noise('damage', 500)
  t.equal(await codeOf(open(store, pin)), 'ERR_CORRUPT_PIN')
  warnings.length = 0
  await (await open(store, pin, { acceptRollback: true, onWarning })).close()
  t.equal(await codeOf(open(store, pin)), 'success')
  t.same(warnings, [])

  // Only with a key: who has none accepts nothing.
  const before = pin.bytes
  const wrong = { acceptRollback: true, keyFile: noise('wrong', 32) }
  t.not(await codeOf(open(other.store, pin, wrong)), 'success')
  t.equal(pin.bytes, before)
})

test('the first time is told of, and one pin is not for two repositories', async (t) => {
  const [a, b] = [await victim(), await victim()]
  const pin = new MemoryPin()
  const warnings: Warning[] = []
  const onWarning = (warning: Warning): void => {
    warnings.push(warning)
  }
  const [first, second] = [await open(a.store, pin, { onWarning }), await codeOf(open(b.store, pin))]
  t.match(warnings, [{ code: 'WARN_PIN_NEW' }])
  t.equal(second, 'ERR_ROLLBACK')
  pin.bytes = b.pin.bytes
  await backUp(first, noise('more', 6000))
  t.match(warnings.at(-1), { code: 'ERR_INVALID_ARGUMENT', message: /another repository/ })
  t.equal(pin.bytes, b.pin.bytes)
})

/** A pin that cannot be written, or read. */
class BrokenPin extends MemoryPin {
  breaks: 'load' | 'update' | undefined

  override async load(): Promise<Uint8Array | undefined> {
    if (this.breaks === 'load') throw new PlatterError('ERR_PIN_IO', 'It cannot be read.')
    return await super.load()
  }

  override async update(merge: (current: Uint8Array | undefined) => Uint8Array): Promise<void> {
    if (this.breaks === 'update') throw new PlatterError('ERR_PIN_IO', 'It cannot be written.')
    await super.update(merge)
  }
}

test('a pin that cannot be read or written', async (t) => {
  const { store } = await victim()
  const pin = new BrokenPin()
  for (const breaks of ['load', 'update'] as const) {
    pin.breaks = breaks
    t.equal(await codeOf(open(store, pin)), 'ERR_PIN_IO', breaks)
  }
  pin.breaks = undefined
  const warnings: Warning[] = []
  const repo = await open(store, pin, { onWarning: (warning) => warnings.push(warning) })
  const lagging = new MemoryPin(pin.bytes)
  pin.breaks = 'update'
  warnings.length = 0
  // What is committed is committed, as after a crash between that and the pin.
  const { id } = await backUp(repo, noise('more', 6000))
  t.match(warnings, [{ code: 'ERR_PIN_IO' }])
  pin.breaks = undefined
  await repo.close()
  t.ok(decodePin(pin.bytes!, 'pin').objects.has(`snapshots/${id}`), 'made up for later')
  t.equal(await codeOf(open(store, lagging)), 'success', 'a pin that lags raises no alarm')
  t.ok(decodePin(lagging.bytes!, 'pin').objects.has(`snapshots/${id}`), 'and catches up')
})

test('what clients that share a pin come to know is all kept, and every kind of listing is compared', async (t) => {
  const { store, pin, kept } = await victim()
  const options = { accept: false, now: () => new Date(), onWarning: () => {} }
  const [a, b] = await Promise.all([
    PinnedState.load(store, pin, options),
    PinnedState.load(store, pin, options),
  ])
  const names = ['a', 'b'].map((seed) => `forget/${Buffer.from(noise(seed, 16)).toString('hex')}`)
  for (const state of [a, b]) {
    await state.store.get('config')
    await state.verify(undefined)
  }
  for (const [i, state] of [a, b].entries()) {
    t.equal(await state.store.putIfAbsent(names[i]!, [new Uint8Array(1)]), 'created')
  }
  for (const state of [a, b]) {
    // Neither has listed what the other did.
    await state.save()
    t.ok(decodePin(pin.bytes!, 'pin').objects.size > 0)
  }
  for (const name of names) t.ok(decodePin(pin.bytes!, 'pin').objects.has(name))

  await store.delete(`snapshots/${kept}`)
  for (const prefix of ['', 'snapshots/'])
    t.equal(await codeOf(collected(a.store.list(prefix))), 'ERR_ROLLBACK', `'${prefix}'`)
  for (const prefix of ['forget/', 'keys/', 'gc/', 'packs/', 'index/'])
    t.equal(await codeOf(collected(a.store.list(prefix))), 'success', prefix)
  // What takes no part in it is not looked at, and who stops early has relied on no more than was given.
  for await (const _ of a.store.list('snapshots/')) break
})

test('nothing new, nothing written', async (t) => {
  const { store, pin } = await victim()
  const repo = await open(store, pin)
  await collected(repo.snapshots())
  const { updates } = pin
  await collected(repo.snapshots())
  await repo.close()
  await repo.close()
  await (await open(store, pin)).close()
  t.equal(pin.updates, updates)
})

test('a store that can only be read', async (t) => {
  const { store, pin, kept } = await victim()
  const readable = {
    label: 'readable',
    get: store.get.bind(store),
    getRange: store.getRange.bind(store),
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    close: async () => {},
  }
  const repo = await Repository.open(readable, optionsOf(true, pin))
  t.ok((await restored(repo, kept)).length > 0)
  t.equal(await codeOf(backUp(repo, noise('more', 6000))), 'ERR_STORE_UNSUPPORTED')
  t.equal(await codeOf(repo.prune()), 'ERR_STORE_UNSUPPORTED')
})

// --- bytes -----------------------------------------------------------------------------------------------------

const KINDS: readonly PinnedKind[] = [
  'snapshot',
  'fence',
  'tombstone',
  'mark',
  'sweep',
  'done',
  'slot',
  'removed slot',
]

function nameOf(kind: PinnedKind, number: number): string {
  const id = Buffer.from(noise(`${kind} ${number}`, 16)).toString('hex')
  if (kind === 'snapshot' || kind === 'fence') return `snapshots/${id}`
  if (kind === 'tombstone') return `forget/${id}`
  return kind === 'slot' || kind === 'removed slot' ? `keys/${id}` : `gc/${number + 1}.${kind}`
}

function stateOf(list: readonly (readonly [PinnedKind, number, number])[]): PinState {
  return {
    repository: '00112233445566778899aabbccddeeff' as PinState['repository'],
    configHash: noise('config', 32),
    objects: new Map(list.map(([kind, number, since]) => [nameOf(kind, number), { kind, since }])),
  }
}

test('a pin is read as it was written, or not at all', async (t) => {
  const row = fc.tuple(
    fc.constantFrom(...KINDS),
    fc.integer({ min: 0, max: 10 ** 15 - 2 }),
    fc.nat(2 ** 32 - 1),
  )
  fc.assert(
    fc.property(fc.array(row, { maxLength: 40 }), (list) => {
      const state = stateOf(list)
      const { objects, ...rest } = decodePin(encodePin(state), 'pin')
      const { objects: wanted, ...others } = state
      if (JSON.stringify([...objects]) !== JSON.stringify([...wanted])) throw new Error('other objects')
      if (JSON.stringify(rest) !== JSON.stringify(others)) throw new Error('another repository')
    }),
    { numRuns: 300 },
  )
  const bytes = encodePin(stateOf(KINDS.map((kind, i) => [kind, i, 1000 + i])))
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = bytes.slice()
    altered[bit >> 3]! ^= 1 << (bit & 7)
    if (!/^ERR_CORRUPT_PIN$/.test(codeOfCall(() => decodePin(altered, 'pin')))) t.fail(`bit ${bit}`)
  }
  for (let length = 0; length < bytes.length; length++)
    if (codeOfCall(() => decodePin(bytes.slice(0, length), 'pin')) !== 'ERR_CORRUPT_PIN')
      t.fail(`length ${length}`)
})

test('what a pin takes', async (t) => {
  const rows = Array.from({ length: 10_000 }, (_, i) => i).flatMap((i) => [
    ['snapshot', i, 1] as const,
    ['tombstone', i, 2] as const,
  ])
  t.ok(encodePin(stateOf(rows)).length < 430_000, '10 000 snapshots, all of them forgotten')
})
