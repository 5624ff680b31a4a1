// Proves docs/format.md: a reader and a writer made from that document alone, in format-doc/, which use none of
// Platter's code, and Platter itself understand each other bit for bit.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { Readable } from 'node:stream'
import * as zlib from 'node:zlib'
import { LocalStore, MemorySource, MemoryStore, MemoryTarget, StreamSource } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type ChunkerSettings, Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { copyOf } from './adversity.ts'
import { cutImage, type Range } from './format-doc/cutter.ts'
import { hex, imageDigest, same } from './format-doc/primitives.ts'
import { FormatReader } from './format-doc/reader.ts'
import { writeRepository } from './format-doc/writer.ts'

const KIB = 1024

const CHUNKERS: readonly ChunkerSettings[] = [
  { kind: 'aligned', minBytes: 8 * KIB, averageBytes: 24 * KIB, maxBytes: 64 * KIB },
  { kind: 'fastcdc', minBytes: 2 * KIB, averageBytes: 7000, maxBytes: 30_001 },
  { kind: 'fixed', minBytes: 5000, averageBytes: 5000, maxBytes: 5000 },
]

/** Bytes that look random, the same for the same seed. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state
  }
  return bytes
}

/** An image with noise, text, repetitions, and zeros of all lengths at all sorts of places. */
function sampleImage(length: number, seed = 1): Uint8Array {
  const image = noise(length, seed)
  image.copyWithin(300 * KIB, 20 * KIB, 120 * KIB)
  image.subarray(120 * KIB, 200 * KIB).fill('some text that can be compressed; '.charCodeAt(seed))
  for (const [from, zeros] of [
    [4 * KIB, 60 * KIB],
    [72 * KIB, 64 * KIB],
    [200 * KIB, 70 * KIB + 1],
    [440 * KIB, 200 * KIB],
    [700 * KIB + 5, 68 * KIB],
    [900 * KIB, 63 * KIB],
  ] as const)
    image.fill(0, Math.min(from, length), Math.min(from + zeros, length))
  return image
}

function allData(image: Uint8Array): Range[] {
  return image.length === 0 ? [] : [{ offset: 0, length: image.length, kind: 'data' }]
}

async function objectsOf(store: MemoryStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>()
  for await (const { name } of store.list('')) objects.set(name, await store.get(name))
  return objects
}

/** Reads the repository with the independent reader, and derives from the image what should be in it. */
function assertReads(
  t: Test,
  reader: FormatReader,
  id: string,
  image: Uint8Array,
  ranges: readonly Range[] = allData(image),
): void {
  t.ok(same(reader.restore(id), image), 'restored bit for bit')
  const { config, keys } = reader
  const [volume] = reader.snapshots().get(id)!.volumes
  const cut = cutImage(config, keys, image, ranges)
  t.equal(
    volume!.root && hex(volume!.root),
    cut.root === undefined ? null : hex(cut.root),
    'root of the tree',
  )
  const digest = imageDigest(keys, image.length, config.regionBytes, (region) =>
    image.subarray(region * config.regionBytes, (region + 1) * config.regionBytes),
  )
  t.equal(hex(volume!.imageDigest), hex(digest), 'image digest')
}

const PASSPHRASE = 'Fuß und Hand'
const KDF = { N: 2 ** 14, r: 8, p: 1 }

/** Each chunker, without encryption and with it. */
const CASES = CHUNKERS.flatMap((chunker) => [
  { chunker, passphrase: undefined, what: chunker.kind as string },
  { chunker, passphrase: PASSPHRASE, what: `${chunker.kind}, encrypted` },
])

for (const { chunker, passphrase, what } of CASES) {
  test(`${what}: an independent reader restores what Platter stored, and cuts as it does`, async (t) => {
    const store = new MemoryStore()
    const sizes = { chunker, regionBytes: 256 * KIB, packBytes: 256 * KIB }
    const credentials = passphrase === undefined ? {} : { passphrase }
    const protection = passphrase === undefined ? { crypto: 'none' as const } : { passphrase, kdf: KDF }
    await Repository.init(store, { ...protection, ...sizes })
    await using repository = await Repository.open(store, credentials)
    const images = [0, 1, 4096, 100_000, 256 * KIB, 256 * KIB + 1, 1300 * KIB + 777].map((size) =>
      sampleImage(size),
    )
    images.push(new Uint8Array(20_000), new Uint8Array(600 * KIB), sampleImage(1300 * KIB + 777, 5))
    const ids: string[] = []
    for (const image of images)
      ids.push((await repository.backup(new MemorySource(image), { name: 'image', workers: 0 })).id)
    await repository.forget((await repository.backup(new MemorySource(images[0]!), { workers: 0 })).id)
    const reader = new FormatReader(await objectsOf(store), passphrase)
    t.equal(hex(reader.config.id), repository.id)
    t.same(reader.config.chunker, chunker)
    for (const [i, image] of images.entries()) assertReads(t, reader, ids[i]!, image)
  })
}

test('what repairs leave: marks, quarantine, and another index', async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, {
    crypto: 'none',
    chunker: CHUNKERS[0]!,
    regionBytes: 256 * KIB,
    packBytes: 256 * KIB,
  })
  await using repository = await Repository.open(store)
  const images = [sampleImage(900 * KIB), sampleImage(500 * KIB, 7)]
  const ids: string[] = []
  for (const image of images)
    ids.push((await repository.backup(new MemorySource(image), { name: 'image', workers: 0 })).id)
  const [name, bytes] = [...(await objectsOf(store))].find(
    ([object, { length }]) => object.startsWith('packs/') && length > 200 * KIB,
  )!
  bytes[70_000]! ^= 1
  await store.delete(name)
  await store.putIfAbsent(name, [bytes])
  const { damage } = await repository.repairPacks({ workers: 0 })
  t.ok(damage.length > 0)
  const damaged = new FormatReader(await objectsOf(store))
  t.same(
    [...damaged.damage()].map(([id, ranges]) => ({ id, ranges })).sort((a, b) => (a.id < b.id ? -1 : 1)),
    damage
      .map(({ snapshot, ranges }) => ({ id: snapshot, ranges: ranges.map((r) => [r.offset, r.length]) }))
      .sort((a, b) => (a.id < b.id ? -1 : 1)),
  )
  for (const image of images) await repository.repairPacks({ workers: 0, from: new MemorySource(image) })
  const healed = new FormatReader(await objectsOf(store))
  for (const ranges of healed.damage().values()) t.same(ranges, [], 'a newer mark takes the older one back')
  for (const [i, image] of images.entries()) assertReads(t, healed, ids[i]!, image)
})

/** Packs that are needed in part and not at all, forgotten snapshots, and what writers left that died. */
async function beforePrune(passphrase: string | undefined): Promise<{
  readonly store: MemoryStore
  readonly images: ReadonlyMap<string, Uint8Array>
}> {
  const store = new MemoryStore()
  const protection = passphrase === undefined ? { crypto: 'none' as const } : { passphrase, kdf: KDF }
  await Repository.init(store, {
    ...protection,
    chunker: CHUNKERS[0]!,
    regionBytes: 64 * KIB,
    packBytes: 256 * KIB,
  })
  const credentials = passphrase === undefined ? {} : { passphrase }
  const repository = await Repository.open(store, credentials)
  const backUp = async (image: Uint8Array, to = repository): Promise<string> =>
    (await to.backup(new MemorySource(image), { name: 'image', workers: 0 })).id
  const partly = await backUp(noise(200 * KIB, 1))
  const images = new Map<string, Uint8Array>()
  for (const image of [noise(200 * KIB, 1).subarray(0, 100 * KIB), noise(50 * KIB, 2)])
    images.set(await backUp(image), image)
  const garbage = await backUp(noise(60 * KIB, 3))
  // One whose packs no segment lists, and one that another relies on.
  for (const [changes, seed] of [
    [2, 4],
    [4, 5],
  ] as const) {
    const dying = new FaultStore(store)
    dying.crashAt({ afterOperations: changes, counting: 'changes' })
    await backUp(noise(40 * KIB, seed), await Repository.open(dying, credentials)).catch(() => {})
  }
  images.set(await backUp(noise(40 * KIB, 5)), noise(40 * KIB, 5))
  for (const id of [partly, garbage]) await repository.forget(id)
  return { store, images }
}

function packName(id: string): string {
  return `packs/${id.slice(0, 2)}/${id}`
}

/** What stays when somebody does as the sweep says; without what only fenced sessions list, on which nobody may rely. */
function swept(
  objects: ReadonlyMap<string, Uint8Array>,
  { collection }: FormatReader,
): Map<string, Uint8Array> {
  const { packs, segments } = collection.generations.at(-1)!.sweep!
  const goes = new Set([...packs.map(packName), ...segments])
  const isFenced = (name: string): boolean =>
    name.startsWith('index/') && collection.standing(name.split('/')[1]!) === 'fenced'
  return new Map([...objects].filter(([name]) => !goes.has(name) && !isFenced(name)))
}

for (const passphrase of [undefined, PASSPHRASE]) {
  const what = passphrase === undefined ? '' : ', encrypted'
  test(`a prune that ends anywhere: what there is, what may go, and all of it restores${what}`, async (t) => {
    const { store, images } = await beforePrune(passphrase)
    const credentials = passphrase === undefined ? {} : { passphrase }
    const options = { patienceSeconds: 0, maxUnusedFraction: 0 }
    const met = new Set<string>()
    const step = passphrase === undefined ? 1 : 3
    for (let changes = 0, isOver = false; !isOver; changes += step) {
      const scratch = await copyOf(store)
      const dying = new FaultStore(scratch)
      dying.crashAt({ afterOperations: changes, counting: 'changes' })
      await (await Repository.open(dying, credentials)).prune(undefined, options).catch(() => {})
      isOver = !dying.crashed
      const objects = await objectsOf(scratch)
      const reader = new FormatReader(objects, passphrase)
      const { collection } = reader
      t.same([...collection.snapshots].sort(), [...images.keys()].sort(), `${changes} changes`)
      for (const [id, image] of images) t.ok(same(reader.restore(id), image), 'restored bit for bit')

      const repository = await Repository.open(scratch, credentials)
      const { unfinished } = await repository.planPrune(options)
      const newest = collection.generations.at(-1)
      t.equal(unfinished, newest?.isDone === false ? newest.number : undefined)
      if (newest?.sweep !== undefined) {
        const left = new FormatReader(swept(objects, reader), passphrase)
        for (const [id, image] of images) t.ok(same(left.restore(id), image), 'the sweep takes nothing of it')
      }
      if (newest?.isDone === false) {
        await repository.prune(undefined, options)
        const after = await objectsOf(scratch)
        const { generations } = new FormatReader(after, passphrase).collection
        const swept = generations.flatMap(({ sweep }) => sweep!.packs)
        const gone = collection.condemned.filter((pack) => !after.has(packName(pack)))
        t.ok(gone.length > 0)
        t.same(
          gone,
          collection.condemned.filter((pack) => swept.includes(pack)),
          'what goes is condemned',
        )
      } else t.same(collection.condemned, [])
      met.add(newest === undefined ? 'none' : newest.isDone ? 'done' : newest.sweep ? 'sweep' : 'mark')
    }
    t.same(met, new Set(['none', 'mark', 'sweep', 'done']))
  })
}

test('streams and worker threads give the same', async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, { crypto: 'none', chunker: CHUNKERS[0]!, regionBytes: 256 * KIB })
  await using repository = await Repository.open(store)
  const image = sampleImage(1300 * KIB + 777)
  const source = new StreamSource(Readable.from([image.subarray(0, 70_001), image.subarray(70_001)]))
  const { id } = await repository.backup(source, { name: 'stream', workers: 2 })
  assertReads(t, new FormatReader(await objectsOf(store)), id, image)
})

test('ranges that the source reports', async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, { crypto: 'none', chunker: CHUNKERS[0]!, regionBytes: 256 * KIB })
  await using repository = await Repository.open(store)
  const image = sampleImage(1300 * KIB + 777)
  const ranges: Range[] = []
  const kinds = ['data', 'hole', 'unused', 'data', 'hole', 'hole', 'data', 'unused', 'hole'] as const
  const borders = [
    0,
    90_000,
    260 * KIB + 100,
    420 * KIB,
    430 * KIB,
    640 * KIB,
    644 * KIB + 3,
    800 * KIB,
    1100 * KIB,
  ]
  for (const [i, offset] of borders.entries()) {
    const end = borders[i + 1] ?? image.length
    // What is reported as empty reads as zeros, up to the blocks it shares with data.
    if (kinds[i] !== 'data') image.fill(0, offset, end)
    ranges.push({ offset, length: end - offset, kind: kinds[i]! })
  }
  const { id, stats } = await repository.backup(new MemorySource(image, { extents: ranges }), {
    name: 'sparse',
    workers: 0,
  })
  t.ok(stats.bytesRead < image.length, 'not everything was read')
  assertReads(t, new FormatReader(await objectsOf(store)), id, image, ranges)
})

test('trees of several levels', async (t) => {
  const store = new MemoryStore()
  const regionBytes = 64 * KIB
  await Repository.init(store, { crypto: 'none', chunker: CHUNKERS[0]!, regionBytes })
  await using repository = await Repository.open(store)
  const image = new Uint8Array(2 * 1024 * regionBytes + 7 * regionBytes + 513)
  const ranges: Range[] = []
  const place = (region: number, regions: number, kind: Range['kind']): void => {
    const offset = region * regionBytes
    const length = Math.min(image.length - offset, regions * regionBytes)
    if (kind === 'data') image.set(noise(length, region + 1), offset)
    ranges.push({ offset, length, kind })
  }
  place(0, 1, 'hole')
  place(1, 3, 'data')
  place(4, 500, 'unused')
  place(504, 520, 'hole')
  place(1024, 1024, 'hole')
  place(2048, 2, 'hole')
  place(2050, 6, 'data')
  const source = (): MemorySource => new MemorySource(image, { extents: ranges })
  const { id } = await repository.backup(source(), { name: 'tall', workers: 0 })
  const blank = await repository.backup(
    new MemorySource(new Uint8Array(image.length), {
      extents: [{ offset: 0, length: image.length, kind: 'hole' }],
    }),
    { name: 'blank', workers: 0 },
  )
  const reader = new FormatReader(await objectsOf(store))
  t.ok(same(reader.restore(id), image))
  t.same([...reader.levels].sort(), [0, 1, 2])
  const { root } = cutImage(reader.config, reader.keys, image, ranges)
  t.equal(hex(reader.snapshots().get(id)!.volumes[0]!.root!), hex(root!))
  t.ok(same(reader.restore(blank.id), new Uint8Array(image.length)))
})

test('every codec', async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, { crypto: 'none', chunker: CHUNKERS[0]!, regionBytes: 256 * KIB })
  const hasZstd = 'zstdCompressSync' in zlib
  const codecs = ['none', 'lz4', ...(hasZstd ? ['zstd' as const] : [])] as const
  const backups: { id: string; image: Uint8Array }[] = []
  for (const [i, codec] of codecs.entries()) {
    const image = sampleImage(400 * KIB, i + 1)
    await using repository = await Repository.open(store, { codec })
    const { id } = await repository.backup(new MemorySource(image), { name: codec, workers: 0 })
    backups.push({ id, image })
  }
  const reader = new FormatReader(await objectsOf(store))
  t.same([...reader.codecs].sort(), hasZstd ? [0, 1, 2] : [0, 1])
  for (const { id, image } of backups) assertReads(t, reader, id, image)
})

test('objects in a folder are files of the same name; tombstones hide snapshots', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'platter-format-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const store = await LocalStore.create(folder)
  await Repository.init(store, { crypto: 'none', chunker: CHUNKERS[1]!, regionBytes: 256 * KIB })
  await using repository = await Repository.open(store)
  const images = [sampleImage(500_000, 1), sampleImage(500_000, 2)]
  const ids: string[] = []
  for (const image of images)
    ids.push((await repository.backup(new MemorySource(image), { name: 'disk', tags: ['t'], workers: 0 })).id)
  await repository.forget(ids[0]!)

  const objects = new Map<string, Uint8Array>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = relative(folder, path).split(sep).join('/')
    if (entry.isFile() && !name.startsWith('.tmp/')) objects.set(name, await readFile(path))
  }
  const reader = new FormatReader(objects)
  const snapshots = reader.snapshots()
  t.same([...snapshots.keys()], [ids[1]])
  const record = snapshots.get(ids[1]!)!
  t.match(record, { name: 'disk', tags: ['t'], parent: ids[0]! })
  t.match(record.stats, { bytesTotal: 500_000, bytesRead: 500_000 })
  assertReads(t, reader, ids[1]!, images[1]!)
})

for (const passphrase of [undefined, PASSPHRASE]) {
  const what = passphrase === undefined ? '' : ', encrypted'
  test(`the reader is no rubber stamp: a flipped bit in any object is found${what}`, async (t) => {
    const { store, images } = await beforePrune(passphrase)
    await using repository = await Repository.open(store, passphrase === undefined ? {} : { passphrase })
    await repository.prune(undefined, { patienceSeconds: 0, maxUnusedFraction: 0 })
    // Leaves a session record.
    await repository.backup(new MemorySource(new Uint8Array(0)), { name: 'empty', workers: 0 })
    const objects = await objectsOf(store)
    const readAll = (all: ReadonlyMap<string, Uint8Array>): void => {
      const reader = new FormatReader(all, passphrase)
      for (const id of images.keys()) reader.restore(id)
    }
    readAll(objects)
    const kinds = new Set([...objects.keys()].map((name) => name.split('/')[0]))
    for (const kind of ['gc', 'forget', 'sessions', 'index', 'packs', 'snapshots'])
      t.ok(kinds.has(kind), kind)
    // Of a snapshot that is forgotten, nobody reads more than the name.
    for (const name of objects.keys())
      if (objects.has(name.replace('snapshots/', 'forget/')) && name.startsWith('snapshots/'))
        objects.delete(name)
    for (const [name, bytes] of objects) {
      const altered = bytes.slice()
      const at = Math.floor(altered.length / 2)
      altered[at] = altered[at]! ^ 1
      t.throws(() => readAll(new Map(objects).set(name, altered)), name)
    }
  })
}

for (const { chunker, passphrase, what } of CASES) {
  test(`${what}: Platter reads what an independent writer wrote, and finds all of it known`, async (t) => {
    const image = sampleImage(1300 * KIB + 777)
    const { snapshot, objects } = writeRepository(chunker, 256 * KIB, image, allData(image), passphrase)
    const store = new MemoryStore()
    for (const { name, bytes } of objects) t.equal(await store.putIfAbsent(name, [bytes]), 'created')
    await using repository = await Repository.open(store, passphrase === undefined ? {} : { passphrase })
    t.same((await repository.check({ readData: true, workers: 0 })).findings, [])
    const target = new MemoryTarget()
    await repository.restore('latest:independent', target, { workers: 0 })
    t.ok(same(target.bytes, image), 'restored bit for bit')
    const found = await repository.snapshot(snapshot)
    t.same(found.volumes[0]!.badRanges, [{ offset: 4096, length: 512 }])

    const again = await repository.backup(new MemorySource(image), { name: 'again', workers: 0 })
    t.equal(again.stats.chunksNew, 0)
    t.equal(again.volumes[0]!.root, found.volumes[0]!.root)
    t.equal(again.volumes[0]!.imageDigest, found.volumes[0]!.imageDigest)
  })
}
