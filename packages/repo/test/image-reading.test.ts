// Images read at any place: what is read ahead, decoded by workers, cached and damaged.
import { MemorySource, MemoryStore } from '@platter/fs-adapters'
import type { Image, ImageOptions, Repository } from '@platter/repo'
import fc from 'fast-check'
import t from 'tap'
import {
  codeOf,
  diskImage,
  ENCRYPTED,
  newRepository,
  noise,
  objectNames,
  openRepository,
  replaceObject,
  SETTINGS,
  sameBytes,
} from './adversity.ts'

const SIZE = 900_001

/** A store that counts what is read of packs. */
class CountingStore extends MemoryStore {
  packReads = 0

  override async getRange(...call: Parameters<MemoryStore['getRange']>): ReturnType<MemoryStore['getRange']> {
    if (call[0].startsWith('packs/')) this.packReads++
    return await super.getRange(...call)
  }
}

async function repositoryWith(image: Uint8Array, settings = SETTINGS, store = new MemoryStore()) {
  const repo = await newRepository(store, settings)
  await repo.backup(new MemorySource(image), { name: 'disk', workers: 0 })
  return repo
}

async function withImage<T>(repo: Repository, options: ImageOptions, use: (image: Image) => Promise<T>) {
  await using image = await repo.openImage('latest', options)
  return await use(image)
}

for (const [name, settings] of [
  ['plain', SETTINGS],
  ['encrypted', ENCRYPTED],
] as const) {
  t.test(`any reads at once give what was backed up: ${name}`, async (t) => {
    const bytes = diskImage('read ahead', SIZE)
    const repo = await repositoryWith(bytes, settings)
    const reads = fc.array(
      fc.record({
        offset: fc.integer({ min: 0, max: SIZE + 10 }),
        length: fc.integer({ min: 0, max: 150_000 }),
      }),
      { maxLength: 30 },
    )
    for (const workers of [0, 2])
      for (const cacheBytes of [0, 100_000, 8 * 2 ** 20])
        await withImage(repo, { workers, cacheBytes }, async (image) => {
          await fc.assert(
            fc.asyncProperty(reads, async (wanted) => {
              const got = await Promise.all(wanted.map(({ offset, length }) => image.read(offset, length)))
              return wanted.every(({ offset, length }, i) =>
                sameBytes(got[i]!, bytes.subarray(offset, offset + length)),
              )
            }),
            { numRuns: 10 },
          )
        })
    t.pass('all alike')
  })
}

t.test('who reads on is served by few reads of the store', async (t) => {
  const store = new CountingStore()
  const bytes = noise('one behind the other', SIZE)
  const repo = await repositoryWith(bytes, { ...SETTINGS, packBytes: 2 ** 20 }, store)
  const readThrough = (cacheBytes: number): Promise<number> =>
    withImage(repo, { cacheBytes }, async (image) => {
      store.packReads = 0
      for (let at = 0; at < SIZE; at += 1000) {
        const piece = await image.read(at, 1000)
        if (!sameBytes(piece, bytes.subarray(at, at + 1000))) t.fail(`wrong bytes at ${at}`)
      }
      return store.packReads
    })
  const chunks = (await repo.snapshot('latest')).stats.chunksNew
  const ahead = await readThrough(8 * 2 ** 20)
  const alone = await readThrough(1)
  t.ok(ahead < chunks, `${ahead} reads for ${chunks} chunks`)
  t.ok(alone >= chunks, `without room in the cache, ${alone}`)
})

t.test('single reads far apart fetch nothing else', async (t) => {
  const store = new CountingStore()
  const repo = await repositoryWith(noise('far apart', SIZE), SETTINGS, store)
  await withImage(repo, {}, async (image) => {
    await image.read(0, 1)
    store.packReads = 0
    await image.read(500_000, 1)
    t.ok(store.packReads <= 3, `root, leaf and chunk, in ${store.packReads} reads`)
  })
})

for (const workers of [0, 2]) {
  t.test(`a damaged chunk fails alone, whoever reads ahead: ${workers} workers`, async (t) => {
    const store = new MemoryStore()
    const bytes = noise('damaged', SIZE)
    await repositoryWith(bytes, { ...SETTINGS, regionBytes: 2 ** 20 }, store)
    const packs = await objectNames(store, 'packs/')
    const victim = packs[Math.floor(packs.length / 2)]!
    const pack = await store.get(victim)
    pack[200]! ^= 1
    await replaceObject(store, victim, pack)
    const again = await openRepository(store)
    await withImage(again, { workers }, async (image) => {
      let failed = 0
      for (let at = 0; at < SIZE; at += 4096) {
        const code = await codeOf(
          image.read(at, 4096).then((piece) => {
            if (!sameBytes(piece, bytes.subarray(at, at + 4096))) t.fail(`wrong bytes at ${at}`)
          }),
        )
        if (code === 'ERR_CORRUPT_BLOB') failed++
        else t.equal(code, 'success')
      }
      t.ok(failed > 0 && failed <= 16, `${failed} pieces of 4 KiB, at most a chunk`)
    })
  })
}

t.test('an image that is closed ends what is under way, and its workers', async (t) => {
  const repo = await repositoryWith(noise('closed', SIZE))
  const image = await repo.openImage('latest', { workers: 2 })
  const codes = Array.from({ length: 20 }, (_, i) => codeOf(image.read(i * 40_000, 1000)))
  await image.close()
  for (const code of await Promise.all(codes)) t.match(code, /^(success|ERR_CLOSED)$/)
  t.equal(await codeOf(image.read(0, 1)), 'ERR_CLOSED')
  await image.close()
  t.equal(await codeOf(repo.openImage('latest', { workers: -1 })), 'ERR_INVALID_ARGUMENT')
})
