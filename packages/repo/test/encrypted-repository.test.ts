// Everything a repository does, encrypted: the same bytes come back in every way there is.
import { Readable } from 'node:stream'
import * as zlib from 'node:zlib'
import { MemorySource, MemoryStore, MemoryTarget, StreamSource } from '@platter/fs-adapters'
import { type ChunkerSettings, Repository } from '@platter/repo'
import { test } from 'tap'
import {
  backUp,
  collected,
  diskImage,
  ENCRYPTED,
  KEY_FILE,
  newRepository,
  noise,
  objectNames,
  restored,
  sameBytes,
} from './adversity.ts'

const CHUNKERS: readonly ChunkerSettings[] = [
  { kind: 'aligned', minBytes: 4096, averageBytes: 16384, maxBytes: 65536 },
  { kind: 'fastcdc', minBytes: 1000, averageBytes: 5000, maxBytes: 20_001 },
  { kind: 'fixed', minBytes: 5000, averageBytes: 5000, maxBytes: 5000 },
]

test('round trips: chunkers, codecs, threads', { timeout: 120_000 }, async (t) => {
  const codecs = ['none', 'lz4', ...('zstdCompressSync' in zlib ? (['zstd'] as const) : [])] as const
  for (const chunker of CHUNKERS) {
    const store = new MemoryStore()
    await Repository.init(store, { ...ENCRYPTED, chunker })
    for (const [i, codec] of codecs.entries()) {
      await using repo = await Repository.open(store, {
        keyFile: KEY_FILE,
        codec,
        verifyCompression: 'all',
      })
      for (const workers of [0, 2]) {
        const image = diskImage(`${chunker.kind} ${codec} ${workers}`, 400_000 + i)
        const { id } = await backUp(repo, image, { workers })
        t.ok(sameBytes(await restored(repo, id, workers), image), `${chunker.kind}, ${codec}, ${workers}`)
        const again = await backUp(repo, image, { workers: 2 - workers })
        t.equal(again.stats.bytesNew, 0, 'all of it is known')
        t.equal(again.volumes[0]!.root, (await repo.snapshot(id)).volumes[0]!.root)
      }
      t.same((await repo.check({ readData: true, workers: 1 })).findings, [])
    }
  }
})

test('images, differences, partial restores, streams', async (t) => {
  const store = new MemoryStore()
  await using repo = await newRepository(store, ENCRYPTED)
  const before = diskImage('before', 500_000)
  const after = before.slice()
  after.set(noise('change', 5000), 300_000)
  const a = await backUp(repo, before)
  const source = new StreamSource(Readable.from([after.subarray(0, 99_999), after.subarray(99_999)]))
  const b = await repo.backup(source, { name: 'disk', workers: 0 })
  t.ok(sameBytes(await restored(repo, b.id), after))
  await using image = await repo.openImage(b.id)
  t.ok(sameBytes(await image.read(299_000, 7000), after.subarray(299_000, 306_000)))
  const ranges = await collected(repo.diff(a.id, b.id))
  t.ok(ranges.some(({ offset, length }) => offset <= 300_000 && offset + length >= 305_000))
  const target = new MemoryTarget()
  await repo.restore(a.id, target, { workers: 0 })
  const stats = await repo.restore(b.id, target, { workers: 0, onlyDifferent: true })
  t.ok(sameBytes(target.bytes, after))
  t.ok(stats.bytesWritten < 200_000, `${stats.bytesWritten} bytes written`)
  await repo.forget(a.id)
  t.same(
    (await collected(repo.snapshots())).map(({ id }) => id),
    [b.id],
  )
})

test('the same image in two repositories has nothing in common', async (t) => {
  const image = diskImage('the same', 500_000)
  const stores = [new MemoryStore(), new MemoryStore()]
  const seen: string[][] = []
  for (const store of stores) {
    const repo = await newRepository(store, ENCRYPTED)
    const { volumes } = await repo.backup(new MemorySource(image), { name: 'x', workers: 0 })
    seen.push([volumes[0]!.root!, volumes[0]!.imageDigest])
  }
  t.not(seen[0]![0], seen[1]![0], 'ids')
  t.not(seen[0]![1], seen[1]![1], 'digests')
  const blocks = new Set<string>()
  let repeated = 0
  for (const store of stores) {
    for (const name of await objectNames(store, 'packs/')) {
      const bytes = Buffer.from(await store.get(name))
      for (let at = 64; at + 16 <= bytes.length - 64; at += 16) {
        const block = bytes.toString('latin1', at, at + 16)
        if (blocks.has(block)) repeated++
        blocks.add(block)
      }
    }
  }
  t.equal(repeated, 0, 'no block of ciphertext occurs twice')
})
