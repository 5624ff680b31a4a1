// An encrypted repository in a store that alters, renames, exchanges, replays and downgrades what it holds. Whatever
// it does: a typed error, or the right bytes; never others.
import { createHasher, PlatterError, packIdFrom, plainRecords, RECORD_TYPE, type Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { decodeConfig, type EncryptedConfig, openConfig } from '../dist/config/config-record.js'
import { encodeIndexSegment } from '../dist/format/index-segment.js'
import { packCipher } from '../dist/format/pack-cipher.js'
import { PACK_HEADER_BYTES } from '../dist/format/pack-file.js'
import { unlock } from '../dist/keys/unlock.js'
import { verifiedEntries } from '../dist/pack/pack-uploader.js'
import {
  backUp,
  codeOf,
  copyOf,
  diskImage,
  ENCRYPTED,
  KEY_FILE,
  keysOf,
  newRepository,
  noise,
  objectNames,
  openRepository,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
} from './adversity.ts'

const IMAGE = diskImage('mine')
const OTHER = diskImage('another')

/** A repository with two snapshots; `first` is of IMAGE. */
async function victim(): Promise<{ store: MemoryStore; first: string; second: string }> {
  const store = new MemoryStore()
  const repo = await newRepository(store, ENCRYPTED)
  const first = (await backUp(repo, IMAGE, { name: 'one' })).id
  const second = (await backUp(repo, OTHER, { name: 'two' })).id
  await repo.close()
  return { store, first, second }
}

const VICTIM = await victim()

/** What comes of reading everything: the code of what is thrown, or 'right'. Wrong bytes fail the test. */
async function attempt(t: Test, store: Store, what: string): Promise<string> {
  try {
    const repo = await openRepository(store)
    for (const [id, image] of [
      [VICTIM.first, IMAGE],
      [VICTIM.second, OTHER],
    ] as const) {
      if (!sameBytes(await restored(repo, id), image)) t.fail(`${what}: other bytes were restored`)
    }
    return 'right'
  } catch (error) {
    if (error instanceof PlatterError && error.code !== 'ERR_INTERNAL') return error.code
    t.fail(`${what}: ${String(error)}`)
    return 'untyped'
  }
}

/** The same, of a copy of the store that was tampered with. */
async function tampered(
  t: Test,
  what: string,
  tamper: (store: MemoryStore) => Promise<void>,
): Promise<string> {
  const store = await copyOf(VICTIM.store)
  await tamper(store)
  return await attempt(t, store, what)
}

async function exchange(store: Store, a: string, b: string): Promise<void> {
  const [first, second] = [await store.get(a), await store.get(b)]
  await replaceObject(store, a, second)
  await replaceObject(store, b, first)
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const altered = bytes.slice()
  altered[bit >> 3]! ^= 1 << (bit & 7)
  return altered
}

test('nothing of an image, its name or its chunks is readable in the store', async (t) => {
  const everything = Buffer.concat(
    await Promise.all((await objectNames(VICTIM.store)).map((name) => VICTIM.store.get(name))),
  )
  t.ok(everything.length > IMAGE.length, 'all of it')
  t.notOk(everything.includes(Buffer.from(IMAGE.subarray(0, 16))))
  t.notOk(everything.includes('A line of text'))
  t.notOk(everything.includes('imageDigest'), 'no snapshot')
  t.notOk(everything.includes('aligned'), 'no chunker')
  t.notOk(everything.includes(Buffer.from(KEY_FILE)))
  const keys = await keysOf(VICTIM.store)
  const id = createHasher(keys.chunkId).hash(IMAGE.subarray(0, 4096))
  t.notOk(everything.includes(Buffer.from(id)), 'no chunk id')
  for (const key of Object.values(keys)) t.notOk(everything.includes(Buffer.from(key!)), 'no key')
})

/** 7 goes through all places within a byte; PLATTER_LONG_TESTS=1 takes every bit. */
const BIT_STEP = process.env.PLATTER_LONG_TESTS === '1' ? 1 : 7

test('bits of config, key slot and snapshot', { timeout: 240_000 }, async (t) => {
  const slot = (await objectNames(VICTIM.store, 'keys/'))[0]!
  for (const name of ['config', slot, `snapshots/${VICTIM.first}`]) {
    const bytes = await VICTIM.store.get(name)
    const codes = new Set<string>()
    for (let bit = 0; bit < bytes.length * 8; bit += BIT_STEP) {
      const store = await copyOf(VICTIM.store)
      await replaceObject(store, name, flipped(bytes, bit))
      const code = await codeOf(openRepository(store).then((repo) => repo.snapshot(VICTIM.first)))
      codes.add(code)
      if (!/^ERR_(CORRUPT|UNSUPPORTED)/.test(code)) t.fail(`bit ${bit} of ${name}: ${code}`)
    }
    t.ok(codes.size > 0, `${name}: ${[...codes].join()}`)
  }
})

test('bits of packs and index segments', { timeout: 240_000 }, async (t) => {
  let found = 0
  for (const name of await objectNames(VICTIM.store)) {
    if (!/^(packs|index)/.test(name)) continue
    const bytes = await VICTIM.store.get(name)
    const bits = bytes.length * 8
    // Head and end whole in steps, and a sample between.
    const draws = new DataView(noise(name, 4 * 40).buffer)
    const places = Array.from({ length: 40 }, (_, i) => draws.getUint32(4 * i) % bits)
    for (let bit = 3; bit < 1024; bit += 61) places.push(bit, bits - 1 - bit)
    for (const bit of places) {
      const store = await copyOf(VICTIM.store)
      await replaceObject(store, name, flipped(bytes, bit))
      const { findings } = await (await openRepository(store)).check({ readData: true, workers: 0 })
      if (findings.length === 0) t.fail(`bit ${bit} of ${name} was not found`)
      else found++
    }
    for (const bit of places.slice(0, 8))
      await tampered(t, `bit ${bit} of ${name}`, (store) => replaceObject(store, name, flipped(bytes, bit)))
  }
  t.ok(found > 300, `${found} flips found`)
})

test('objects cut short at any length', { timeout: 240_000 }, async (t) => {
  for (const name of await objectNames(VICTIM.store)) {
    const bytes = await VICTIM.store.get(name)
    const step = bytes.length < 600 ? 13 : Math.ceil(bytes.length / 25)
    for (let length = 0; length < bytes.length; length += step) {
      const code = await tampered(t, `${name} cut to ${length}`, (store) =>
        replaceObject(store, name, bytes.slice(0, length)),
      )
      // Sessions are not read by a restore.
      const isNeeded = !name.startsWith('sessions/') && !name.startsWith('packs/')
      if (isNeeded && code === 'right') t.fail(`${name} cut to ${length}`)
    }
  }
  t.pass()
})

test("objects in one another's place", async (t) => {
  const { store, first, second } = VICTIM
  const [one, two] = [`snapshots/${first}`, `snapshots/${second}`]
  t.equal(await tampered(t, 'snapshots', (s) => exchange(s, one, two)), 'ERR_CORRUPT_SNAPSHOT')
  const [indexA, indexB] = await objectNames(store, 'index/')
  t.equal(await tampered(t, 'segments', (s) => exchange(s, indexA!, indexB!)), 'ERR_CORRUPT_INDEX')
  const session = (await objectNames(store, 'sessions/'))[0]!
  t.equal(
    await tampered(t, 'session as snapshot', async (s) => replaceObject(s, one, await s.get(session))),
    'ERR_CORRUPT_SNAPSHOT',
  )
  t.equal(
    await tampered(t, 'segment as snapshot', async (s) => replaceObject(s, one, await s.get(indexA!))),
    'ERR_CORRUPT_SNAPSHOT',
  )
  const packs = await objectNames(store, 'packs/')
  for (const a of packs) {
    for (const b of packs) {
      if (a === b) continue
      const code = await tampered(t, `${a} for ${b}`, (s) => exchange(s, a, b))
      t.match(code, /^ERR_CORRUPT_/, 'exchanged packs')
    }
  }
})

test('an old record under a new name, and one of the same name from another repository', async (t) => {
  const { store, first } = VICTIM
  const replayed = 'ab'.repeat(16)
  const copy = await copyOf(store)
  await copy.putIfAbsent(`snapshots/${replayed}`, [await store.get(`snapshots/${first}`)])
  t.equal(await codeOf((await openRepository(copy)).snapshot(replayed)), 'ERR_CORRUPT_SNAPSHOT')

  const foreign = new MemoryStore()
  const { id } = await backUp(await newRepository(foreign, ENCRYPTED), IMAGE)
  const record = await foreign.get(`snapshots/${id}`)
  await copy.putIfAbsent(`snapshots/${id}`, [record])
  t.equal(await codeOf((await openRepository(copy)).snapshot(id)), 'ERR_CORRUPT_SNAPSHOT')
  for (const name of ['config', ...(await objectNames(foreign, 'index/'))]) {
    const bytes = await foreign.get(name)
    const code = await tampered(t, name, (s) => replaceObject(s, name, bytes))
    t.match(code, /^ERR_(CORRUPT_(CONFIG|INDEX|KEY_SLOT))$/, name)
  }
})

test('two blobs of a pack, exchanged, with an index and a directory that say so', async (t) => {
  const keys = await keysOf(VICTIM.store)
  for (const name of await objectNames(VICTIM.store, 'packs/')) {
    const file = await VICTIM.store.get(name)
    const id = name.slice(-64) as Parameters<typeof verifiedEntries>[0]
    const entries = verifiedEntries(id, file, keys.pack)
    const cipher = packCipher(keys.pack, file.slice(32, 64))
    const sealedOf = (i: number): Uint8Array =>
      file.subarray(entries[i]!.offset, entries[i]!.offset + entries[i]!.storedBytes)
    for (const [i, entry] of entries.entries()) {
      t.ok(cipher.openBlob(entry, sealedOf(i)) !== undefined, 'opens in its place')
      for (const [j, other] of entries.entries()) {
        if (i === j) continue
        const lies = [
          { ...entry, offset: other.offset },
          { ...other, id: entry.id },
          { ...entry, storedBytes: other.storedBytes, offset: other.offset },
        ]
        for (const lie of lies)
          if (cipher.openBlob(lie, sealedOf(i)) !== undefined) t.fail('a blob opens in another place')
      }
      const lies = [
        { ...entry, type: entry.type === 0 ? (1 as const) : (0 as const) },
        { ...entry, codec: entry.codec === 0 ? (1 as const) : (0 as const) },
        { ...entry, rawBytes: entry.rawBytes + 1 },
        { ...entry, storedBytes: entry.storedBytes + 1 },
        { ...entry, offset: entry.offset + 1 },
        { ...entry, id: noise('another id', 32) },
      ]
      for (const lie of lies)
        t.equal(cipher.openBlob(lie, sealedOf(i)), undefined, 'every field of an entry is authenticated')
      for (const suite of [
        packCipher(keys.pack, noise('salt', 32)),
        packCipher(noise('key', 32), cipher.salt),
      ])
        t.equal(suite.openBlob(entry, sealedOf(i)), undefined, 'and so are salt and key')
    }
  }
})

test('a blob from another pack in its place, of the same repository', async (t) => {
  const keys = await keysOf(VICTIM.store)
  const names = await objectNames(VICTIM.store, 'packs/')
  const files = await Promise.all(names.map((name) => VICTIM.store.get(name)))
  const first = files.findIndex((file) => file.length > 40_000)
  const second = files.findIndex((file, i) => i !== first && file.length > 40_000)
  const spliced = files[first]!.slice()
  // Both packs have their first blob there; the lengths differ, which does not matter to what is tried.
  spliced.set(files[second]!.subarray(PACK_HEADER_BYTES, 20_000), PACK_HEADER_BYTES)
  const id = packIdFrom(createHasher().hash(spliced))
  t.ok(verifiedEntries(id, spliced, keys.pack).length > 0, 'directory and trailer are as they were')
  const code = await tampered(t, 'spliced', (store) => replaceObject(store, names[first]!, spliced))
  t.equal(code, 'ERR_CORRUPT_BLOB')
})

test('records, packs and config without encryption are refused', async (t) => {
  const keys = await keysOf(VICTIM.store)
  const { first } = VICTIM
  const plain = (name: string, type: 3 | 4, payload: Uint8Array): Uint8Array =>
    new Uint8Array(Buffer.concat(plainRecords.seal(type, name, payload)))
  const snapshot = `snapshots/${first}`
  t.equal(
    await tampered(t, 'plain snapshot', (s) =>
      replaceObject(s, snapshot, plain(snapshot, RECORD_TYPE.snapshot, new Uint8Array([0x80]))),
    ),
    'ERR_CORRUPT_SNAPSHOT',
  )
  const segment = (await objectNames(VICTIM.store, 'index/'))[0]!
  const empty = new Uint8Array(Buffer.concat(encodeIndexSegment(segment, [], plainRecords)))
  t.equal(
    await tampered(t, 'plain index segment', (s) => replaceObject(s, segment, empty)),
    'ERR_CORRUPT_INDEX',
  )

  // A pack of a repository without encryption, under its own right name.
  const plainStore = new MemoryStore()
  await backUp(await newRepository(plainStore, SETTINGS), IMAGE)
  const pack = (await objectNames(plainStore, 'packs/'))[0]!
  const store = await copyOf(VICTIM.store)
  await store.putIfAbsent(pack, [await plainStore.get(pack)])
  const { findings } = await (await openRepository(store)).check({ workers: 0, readData: true })
  t.match(findings, [{ code: 'ERR_CORRUPT_PACK', object: pack }])
  t.throws(() => verifiedEntries(pack.slice(-64) as never, noise('x', 100), keys.pack))

  // The config of another repository that needs no key.
  await replaceObject(store, 'config', await plainStore.get('config'))
  t.equal(await codeOf(Repository.open(store, { keyFile: KEY_FILE })), 'ERR_NOT_ENCRYPTED')
  t.equal(await codeOf(Repository.open(store, { passphrase: 'x' })), 'ERR_NOT_ENCRYPTED')
})

test('a readable part of the config that the sealed part does not confirm', async (t) => {
  const other = new MemoryStore()
  await newRepository(other, ENCRYPTED)
  const [mine, foreign] = [await VICTIM.store.get('config'), await other.get('config')]
  const a = decodeConfig(mine) as EncryptedConfig
  const b = decodeConfig(foreign) as EncryptedConfig
  const { master } = await unlock(VICTIM.store, a.id, { keyFile: KEY_FILE }, {})
  t.ok(openConfig(a, master))
  for (const lie of [
    { ...a, id: b.id },
    { ...a, sealed: b.sealed },
    { ...b, id: a.id },
  ])
    t.equal(await codeOf(Promise.resolve().then(() => openConfig(lie, master))), 'ERR_CORRUPT_CONFIG')
})

test('nothing is written in the clear, nor under a salt that was used before', async (t) => {
  const salts = new Set<string>()
  for (const name of await objectNames(VICTIM.store)) {
    const bytes = Buffer.from(await VICTIM.store.get(name))
    if (name.startsWith('packs/')) {
      t.equal(bytes[9], 1, 'suite of a pack')
      salts.add(bytes.toString('hex', 32, 64))
    } else if (name !== 'config' && !name.startsWith('keys/')) {
      t.equal(bytes[6], 1, `suite of ${name}`)
      salts.add(bytes.toString('hex', 16, 48))
    } else {
      t.equal(bytes[6], 0)
    }
  }
  t.equal(salts.size, (await objectNames(VICTIM.store)).length - 2)
})
