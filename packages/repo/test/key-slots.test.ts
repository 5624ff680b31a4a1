// Key slots: what opens a repository, what is refused, and how.
import {
  encodeRecord,
  PlatterError,
  plainRecords,
  RECORD_TYPE,
  type Store,
  systemRandom,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type InitOptions, type KeySlotOptions, type OpenOptions, Repository } from '@platter/repo'
import { test } from 'tap'
import { decodeKeySlot, type KeySlot } from '../dist/keys/key-slot.js'
import { isScryptInRange, scrypt } from '../dist/keys/scrypt.js'
import { affordable } from '../dist/keys/unlock.js'
import {
  backUp,
  codeOf,
  codeOfCall,
  collected,
  copyOf,
  diskImage,
  ENCRYPTED,
  KEY_FILE,
  newRepository,
  noise,
  objectNames,
  openRepository,
  rejection,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
} from './adversity.ts'
import { SteppedStore } from './interleaving.ts'

/** As cheap as it may be. */
const KDF = Object.freeze({ N: 2 ** 14, r: 8, p: 1 })
const { crypto: _, ...SIZES } = SETTINGS

async function storeFor(options: Partial<InitOptions>): Promise<MemoryStore> {
  const store = new MemoryStore()
  await Repository.init(store, { ...SIZES, kdf: KDF, ...options })
  return store
}

async function opens(store: Store, options: OpenOptions): Promise<string> {
  return await codeOf(Repository.open(store, options).then((repo) => repo.close()))
}

async function slotName(store: Store): Promise<string> {
  return (await objectNames(store, 'keys/'))[0]!
}

test('scrypt is RFC 7914, within bounds', async (t) => {
  // Section 12; of its 64 bytes the first 32, which is what shorter output is.
  const text = (s: string): Uint8Array => new TextEncoder().encode(s)
  const key = await scrypt(text('pleaseletmein'), text('SodiumChloride'), KDF)
  t.equal(
    Buffer.from(key).toString('hex'),
    '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2',
  )
  for (const [N, r, p] of [
    [2 ** 14, 8, 1],
    [2 ** 17, 8, 1],
    [2 ** 20, 8, 4],
  ] as const)
    t.ok(isScryptInRange({ N, r, p }))
  for (const [N, r, p] of [
    [2 ** 13, 8, 1],
    [2 ** 21, 8, 1],
    [2 ** 17 + 1, 8, 1],
    [2 ** 53, 8, 1],
    [0, 8, 1],
    [-(2 ** 14), 8, 1],
    [Number.NaN, 8, 1],
    [2 ** 14 + 0.5, 8, 1],
    [2 ** 14, 7, 1],
    [2 ** 14, 16, 1],
    [2 ** 14, 8, 0],
    [2 ** 14, 8, 5],
    [2 ** 14, 8, 1.5],
  ] as const) {
    t.notOk(isScryptInRange({ N, r, p }), `${N}, ${r}, ${p}`)
    t.equal(await codeOf(scrypt(KEY_FILE, KEY_FILE, { N, r, p })), 'ERR_KEY_SLOT_PARAMETERS')
    t.equal(await codeOf(storeFor({ passphrase: 'x', kdf: { N, r, p } })), 'ERR_KEY_SLOT_PARAMETERS')
  }
})

test('passphrases in every form', async (t) => {
  const store = await storeFor({ passphrase: 'Ångström' })
  const decomposed = 'Ångström'.normalize('NFD')
  for (const passphrase of [
    'Ångström',
    decomposed,
    () => 'Ångström',
    async () => decomposed,
    new TextEncoder().encode('Ångström'),
    async () => new TextEncoder().encode('Ångström'),
  ])
    t.equal(await opens(store, { passphrase }), 'success')
  for (const passphrase of ['ångström', 'Ångström ', 'x', new TextEncoder().encode(decomposed)])
    t.equal(await opens(store, { passphrase }), 'ERR_WRONG_PASSPHRASE')
  for (const passphrase of [
    '',
    new Uint8Array(0),
    'x'.repeat(70_000),
    5 as unknown as string,
    async () => '',
  ])
    t.equal(await opens(store, { passphrase }), 'ERR_INVALID_ARGUMENT')
  t.equal(await opens(store, {}), 'ERR_KEY_REQUIRED')
  t.equal(await opens(store, { passphrase: 'x', keyFile: KEY_FILE }), 'ERR_INVALID_ARGUMENT')
  t.equal(await opens(store, { keyFile: KEY_FILE }), 'ERR_NO_KEY_SLOT')
  const failing = rejection(
    Repository.open(store, {
      passphrase: () => {
        throw new Error('the user has left')
      },
    }),
  )
  t.match(await failing, { message: 'the user has left' })
  const bytes = new TextEncoder().encode('Ångström')
  await opens(store, { passphrase: bytes })
  t.equal(new TextDecoder().decode(bytes), 'Ångström', "the caller's own bytes stay")
})

test('key files', async (t) => {
  const store = await storeFor({ keyFile: noise('key', 1000) })
  t.equal(await opens(store, { keyFile: noise('key', 1000) }), 'success')
  t.equal(await opens(store, { keyFile: async () => noise('key', 1000) }), 'success')
  t.equal(await opens(store, { keyFile: noise('key', 999) }), 'ERR_WRONG_PASSPHRASE')
  t.equal(await opens(store, { passphrase: 'x' }), 'ERR_NO_KEY_SLOT')
  for (const bytes of [0, 31, 65_537]) {
    t.equal(await opens(store, { keyFile: noise('key', bytes) }), 'ERR_INVALID_ARGUMENT')
    t.equal(await codeOf(storeFor({ keyFile: noise('key', bytes) })), 'ERR_INVALID_ARGUMENT')
  }
})

test('init: encrypted unless it is asked for otherwise', async (t) => {
  t.equal(await codeOf(Repository.init(new MemoryStore(), {})), 'ERR_KEY_REQUIRED')
  t.equal(
    await codeOf(Repository.init(new MemoryStore(), { crypto: 'none', passphrase: 'x' })),
    'ERR_INVALID_ARGUMENT',
  )
  t.equal(
    await codeOf(Repository.init(new MemoryStore(), { crypto: 'rot13' as 'none' })),
    'ERR_INVALID_ARGUMENT',
  )
  const store = await storeFor({ keyFile: KEY_FILE, label: 'first' })
  t.equal(await codeOf(Repository.init(store, { keyFile: KEY_FILE })), 'ERR_REPOSITORY_EXISTS')
  t.equal((await objectNames(store)).length, 2, 'a second init leaves nothing behind')
  await using repo = await openRepository(store)
  t.equal(repo.crypto, 'aes-256-gcm')
  t.match(await repo.keys.list(), [{ kind: 'key-file', label: 'first', inUse: true, problem: undefined }])
  const plain = new MemoryStore()
  await using readable = await newRepository(plain)
  t.equal(readable.crypto, 'none')
  t.equal(
    codeOfCall(() => readable.keys),
    'ERR_NOT_ENCRYPTED',
  )
  // Two at once: one of them makes the repository, and its slot is the only one.
  const raced = new MemoryStore()
  const codes = await Promise.all(
    [1, 2].map(() => codeOf(Repository.init(raced, { ...ENCRYPTED, random: systemRandom }))),
  )
  t.same(codes.sort(), ['ERR_REPOSITORY_EXISTS', 'success'])
  t.equal((await objectNames(raced, 'keys/')).length, 1)
  t.ok(await openRepository(raced))
})

test('init fails at any call: no repository, or one that opens', async (t) => {
  for (let calls = 0; calls < 3; calls++) {
    for (const when of ['before', 'after'] as const) {
      const faulty = new FaultStore(new MemoryStore())
      faulty.crashAt({ afterOperations: calls, when })
      t.equal(await codeOf(Repository.init(faulty, ENCRYPTED)), 'ERR_STORE_IO')
      faulty.heal()
      const isThere = (await objectNames(faulty)).includes('config')
      if (!isThere) await Repository.init(faulty, ENCRYPTED)
      const repo = await openRepository(faulty)
      const image = diskImage('after')
      const { id } = await backUp(repo, image)
      t.ok(sameBytes(await restored(repo, id), image), `${calls} calls, ${when}`)
    }
  }
})

test('slots are added, changed and removed', async (t) => {
  const store = await storeFor({ passphrase: 'one' })
  const repo = await Repository.open(store, { passphrase: 'one' })
  const { id } = await backUp(repo, diskImage('x'))
  const added = await repo.keys.add({ keyFile: KEY_FILE, label: 'safe' })
  t.equal((await repo.keys.list()).length, 2)
  const changed = await repo.keys.change({ passphrase: 'two', kdf: KDF })
  t.match(await repo.keys.list(), [
    { id: added, kind: 'key-file', label: 'safe', inUse: false },
    { id: changed, kind: 'passphrase', inUse: true },
  ])
  t.equal(await opens(store, { passphrase: 'one' }), 'ERR_WRONG_PASSPHRASE')
  t.equal(await opens(store, { passphrase: 'two' }), 'success')
  t.ok((await restored(await openRepository(store), id)).length > 0, 'the master key is still the same')
  t.equal(await codeOf(repo.keys.remove('f00d')), 'ERR_NO_KEY_SLOT')
  t.equal(await codeOf(repo.keys.remove('')), 'ERR_NO_KEY_SLOT')
  t.equal(await repo.keys.remove(changed), changed, 'the slot in use, as another exists')
  t.equal(await codeOf(repo.keys.remove(added)), 'ERR_LAST_KEY_SLOT')
  t.equal(await codeOf(repo.keys.add({})), 'ERR_KEY_REQUIRED')
  t.equal(await codeOf(repo.keys.add({ keyFile: KEY_FILE, label: 'x'.repeat(257) })), 'ERR_INVALID_ARGUMENT')
  t.equal((await repo.keys.list()).length, 1)
  for (let i = 1; i < 32; i++) await repo.keys.add({ keyFile: noise(`key ${i}`, 32) })
  t.equal(await codeOf(repo.keys.add({ keyFile: KEY_FILE })), 'ERR_LIMIT_EXCEEDED')
  t.equal(await opens(store, { keyFile: noise('key 31', 32) }), 'success')
  const planted = Array.from({ length: 225 }, (_, i) => `keys/${i.toString(16).padStart(32, '0')}`)
  for (const name of planted) await store.putIfAbsent(name, [noise('x', 100)])
  t.equal(await opens(store, { keyFile: noise('key 31', 32) }), 'ERR_LIMIT_EXCEEDED')
  t.equal(await repo.keys.remove(planted.pop()!.slice(-32)), 'e0'.padStart(32, '0'), 'a way out')
  t.equal(await opens(store, { keyFile: noise('key 31', 32) }), 'success')
  await repo.close()
  t.equal(await codeOf(repo.keys.list()), 'ERR_CLOSED')
  t.equal(await codeOf(repo.keys.add({ keyFile: KEY_FILE })), 'ERR_CLOSED')

  const { delete: _delete, ...readable } = { delete: undefined }
  const reader = {
    ...readable,
    label: store.label,
    get: store.get.bind(store),
    getRange: store.getRange.bind(store),
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    close: async () => {},
  }
  for (const name of planted) await store.delete(name)
  const options: KeySlotOptions = { keyFile: KEY_FILE }
  await using viewer = await Repository.open(reader, options)
  t.equal((await viewer.keys.list()).length, 32)
  t.equal(await codeOf(viewer.keys.add(options)), 'ERR_STORE_UNSUPPORTED')
  t.equal(await codeOf(viewer.keys.change(options)), 'ERR_STORE_UNSUPPORTED')
  t.equal(await codeOf(viewer.keys.remove(added)), 'ERR_STORE_UNSUPPORTED')
})

test('trying slots has a bound, however many there are and whatever they cost', async (t) => {
  const derivation = (N: number, p: number): Pick<KeySlot, 'derivation'> => ({
    derivation: { kind: 'scrypt', parameters: { N, r: 8, p } },
  })
  const worst = derivation(2 ** 20, 4)
  const usual = derivation(2 ** 17, 1)
  const keyFile: Pick<KeySlot, 'derivation'> = { derivation: { kind: 'key-file' } }
  const many = <Item>(count: number, item: Item): Item[] => new Array<Item>(count).fill(item)
  t.equal(affordable(many(32, worst)).length, 32)
  t.equal(affordable(many(256, usual)).length, 256)
  t.equal(affordable(many(256, keyFile)).length, 256)
  const planted = affordable([...many(255, worst), usual])
  t.same(planted, [usual, ...many(31, worst)], 'the cheapest first')
})

test('a change that fails on its way leaves one that opens', async (t) => {
  const store = await storeFor({ keyFile: KEY_FILE })
  const next = noise('next', 32)
  for (const operation of ['list', 'putIfAbsent', 'delete'] as const) {
    for (const when of ['before', 'after'] as const) {
      const faulty = new FaultStore(await copyOf(store))
      const repo = await openRepository(faulty)
      faulty.inject({ operation, fault: { kind: 'error', when } })
      t.equal(await codeOf(repo.keys.change({ keyFile: next })), 'ERR_STORE_IO')
      const codes = [await opens(faulty, { keyFile: KEY_FILE }), await opens(faulty, { keyFile: next })]
      t.ok(codes.includes('success'), `${operation}, ${when}: ${codes.join()}`)
    }
  }
})

test('a slot that is removed while a repository is being opened does not matter to the others', async (t) => {
  const store = await storeFor({ keyFile: KEY_FILE })
  const first = await slotName(store)
  await (await openRepository(store)).keys.add({ keyFile: noise('second', 32) })
  const removing = new SteppedStore(store, async (call) => {
    if (call === `get ${first}`) await store.delete(first)
  })
  t.equal(await opens(removing, { keyFile: noise('second', 32) }), 'success')
  t.notOk((await objectNames(store, 'keys/')).includes(first))
})

test('no slot, tampered slots, slots of others', async (t) => {
  const store = await storeFor({ keyFile: KEY_FILE })
  const name = await slotName(store)
  const bytes = await store.get(name)
  const none = await copyOf(store)
  await none.delete(name)
  t.equal(await opens(none, { keyFile: KEY_FILE }), 'ERR_NO_KEY_SLOT')

  const other = await storeFor({ keyFile: KEY_FILE })
  const swapped = await copyOf(store)
  await replaceObject(swapped, name, undefined)
  const otherName = await slotName(other)
  await swapped.putIfAbsent(otherName, [await other.get(otherName)])
  t.equal(await opens(swapped, { keyFile: KEY_FILE }), 'ERR_CORRUPT_KEY_SLOT', "another repository's")

  const renamed = await copyOf(store)
  await replaceObject(renamed, name, undefined)
  await renamed.putIfAbsent(otherName, [bytes])
  t.equal(await opens(renamed, { keyFile: KEY_FILE }), 'ERR_CORRUPT_KEY_SLOT', 'renamed')

  // A slot with a checksum that fits, as somebody makes it who knows the format but not the key.
  const slot = decodeKeySlot(name.slice(5) as never, (await openRepository(store)).id, bytes)
  const repository = Buffer.from((await openRepository(store)).id, 'hex')
  const header = (fields: object): Uint8Array =>
    encodeRecord({
      version: 1,
      repository,
      kdf: { kind: 'key-file', salt: slot.salt },
      label: slot.label,
      created: slot.created,
      ...fields,
    })
  const forged = async (fields: object): Promise<string> => {
    const payload = encodeRecord({
      header: slot.header,
      commitment: slot.commitment,
      nonce: slot.nonce,
      wrapped: slot.wrapped,
      ...fields,
    })
    const copy = await copyOf(store)
    const parts = plainRecords.seal(RECORD_TYPE.keySlot, name, payload)
    await replaceObject(copy, name, Buffer.concat(parts))
    return await opens(copy, { keyFile: KEY_FILE })
  }
  t.equal(await forged({}), 'success', 'the forger works')
  t.equal(await forged({ header: header({}) }), 'success')
  t.equal(await forged({ header: header({ label: 'evil' }) }), 'ERR_CORRUPT_KEY_SLOT')
  t.equal(await forged({ header: header({ created: '1970' }) }), 'ERR_CORRUPT_KEY_SLOT')
  t.equal(await forged({ header: header({ version: 2 }) }), 'ERR_UNSUPPORTED_VERSION')
  t.equal(await forged({ header: header({ repository: noise('other', 16) }) }), 'ERR_CORRUPT_KEY_SLOT')
  t.equal(
    await forged({ header: header({ kdf: { kind: 'argon9', salt: slot.salt } }) }),
    'ERR_UNSUPPORTED_VERSION',
  )
  t.equal(await forged({ nonce: noise('nonce', 12) }), 'ERR_CORRUPT_KEY_SLOT')
  t.equal(await forged({ wrapped: noise('wrapped', 48) }), 'ERR_CORRUPT_KEY_SLOT')
  t.equal(await forged({ wrapped: noise('wrapped', 49) }), 'ERR_CORRUPT_KEY_SLOT')
  // What the key itself depends on cannot be told from another key.
  t.equal(await forged({ commitment: noise('commitment', 32) }), 'ERR_WRONG_PASSPHRASE')
  t.equal(
    await forged({ header: header({ kdf: { kind: 'key-file', salt: noise('salt', 32) } }) }),
    'ERR_WRONG_PASSPHRASE',
  )

  // Parameters out of range are refused before any work.
  for (const cost of [
    { N: 2 ** 30, r: 8, p: 1 },
    { N: 2 ** 17, r: 1024, p: 1 },
    { N: 2 ** 17, r: 8, p: 2 ** 30 },
    { N: 2, r: 8, p: 1 },
  ]) {
    const started = process.cpuUsage()
    const kdf = { kind: 'scrypt', salt: slot.salt, ...cost }
    t.equal(await forged({ header: header({ kdf }) }), 'ERR_KEY_SLOT_PARAMETERS')
    t.ok(process.cpuUsage(started).user < 2e6, 'at once')
  }
})

test('a damaged slot does not keep another from opening, and is told of', async (t) => {
  const store = await storeFor({ keyFile: KEY_FILE })
  const first = await slotName(store)
  const repo = await openRepository(store)
  await repo.keys.add({ keyFile: noise('second', 32) })
  await replaceObject(store, first, noise('garbage', 300))
  t.equal(await opens(store, { keyFile: noise('second', 32) }), 'success')
  const error = await rejection(Repository.open(store, { keyFile: KEY_FILE }))
  t.match(error, { code: 'ERR_WRONG_PASSPHRASE', message: /could not be tried/ })
  t.ok((error as PlatterError).cause instanceof PlatterError)
  t.match(await repo.keys.list(), [
    { problem: undefined },
    { id: first.slice(5), kind: undefined, problem: /\w/ },
  ])
  const { findings } = await repo.check({ workers: 0 })
  t.match(findings, [{ code: 'ERR_CORRUPT_KEY_SLOT', object: first, snapshots: [] }])
  const [good] = await repo.keys.list()
  t.equal(await codeOf(repo.keys.remove(good!.id)), 'ERR_LAST_KEY_SLOT', 'a damaged one does not count')
  t.equal(await repo.keys.remove(first.slice(5)), first.slice(5))
})

test('keys are gone when a repository is closed, and no error carries a passphrase', async (t) => {
  const passphrase = 'correct horse battery'
  const store = await storeFor({ passphrase })
  const repo = await Repository.open(store, { passphrase })
  await backUp(repo, diskImage('x'))
  await repo.close()
  t.equal(await codeOf(collected(repo.snapshots())), 'ERR_CLOSED')
  const error = (await rejection(Repository.open(store, { passphrase: `${passphrase}!` }))) as PlatterError
  t.equal(error.code, 'ERR_WRONG_PASSPHRASE')
  t.match(error.message, /one key slot/)
  t.notMatch(JSON.stringify([error.message, error.stack, error.details]), /horse/)
})
