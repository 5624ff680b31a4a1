import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Extent } from '@platter/core'
import {
  FileSource,
  FileTarget,
  MemorySource,
  MemoryStore,
  MemoryTarget,
  StreamSource,
} from '@platter/fs-adapters'
import { type ChunkerSettings, Repository } from '@platter/repo'
import fc from 'fast-check'
import { test } from 'tap'

// Small chunks, regions and packs, so that images of a megabyte meet all the borders that terabytes meet.
const KIB = 1024
const REGION_BYTES = 64 * KIB
const CHUNKERS: readonly ChunkerSettings[] = [
  { kind: 'aligned', minBytes: 4 * KIB, averageBytes: 16 * KIB, maxBytes: 64 * KIB },
  { kind: 'fastcdc', minBytes: 2 * KIB, averageBytes: 8 * KIB, maxBytes: 40 * KIB },
  { kind: 'fixed', minBytes: 12 * KIB, averageBytes: 12 * KIB, maxBytes: 12 * KIB },
]
const ODD_SIZES = [0, 1, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072]

/** A stretch of an image: zeros, text that repeats, noise, or a copy of what stands elsewhere in it. */
type Stretch = {
  readonly kind: 'zeros' | 'text' | 'noise' | 'copy'
  readonly length: number
  readonly seed: number
}

interface Case {
  readonly stretches: readonly Stretch[]
  readonly cutTo: number | undefined
  readonly chunker: ChunkerSettings
  readonly source: 'extents' | 'plain' | 'stream' | 'file'
  readonly target: 'memory' | 'file' | 'dirty file' | 'only different'
  readonly codec: 'none' | 'lz4' | 'auto'
  readonly seed: number
}

const stretch: fc.Arbitrary<Stretch> = fc.record({
  kind: fc.constantFrom('zeros', 'text', 'noise', 'copy'),
  length: fc.oneof(
    fc.integer({ min: 1, max: 30 }).map((blocks) => blocks * 4096),
    fc.integer({ min: 1, max: 200 * KIB }),
    fc.constantFrom(64 * KIB, 60 * KIB, 68 * KIB, 128 * KIB),
  ),
  seed: fc.integer({ min: 1, max: 1_000_000 }),
})

const anyCase: fc.Arbitrary<Case> = fc.record({
  stretches: fc.array(stretch, { maxLength: 10 }),
  cutTo: fc.option(fc.constantFrom(...ODD_SIZES), { nil: undefined, freq: 4 }),
  chunker: fc.constantFrom(...CHUNKERS),
  source: fc.constantFrom('extents', 'plain', 'stream', 'file'),
  target: fc.constantFrom('memory', 'file', 'dirty file', 'only different'),
  codec: fc.constantFrom('none', 'lz4', 'auto'),
  seed: fc.integer({ min: 1, max: 1_000_000 }),
})

test('960 random images come back bit for bit without workers', { timeout: 400_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'platter-images-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await fc.assert(
    fc.asyncProperty(anyCase, (one) => roundTrip(one, 0, folder)),
    { numRuns: 960 },
  )
  t.pass('all of them')
})

test('40 random images come back bit for bit with 1 to 4 workers', { timeout: 400_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'platter-images-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await fc.assert(
    fc.asyncProperty(anyCase, fc.integer({ min: 1, max: 4 }), (one, workers) =>
      roundTrip(one, workers, folder),
    ),
    { numRuns: 40 },
  )
  t.pass('all of them')
})

/** Backs an image up twice, restores it, reads parts of it, and compares everything. */
async function roundTrip(one: Case, workers: number, folder: string): Promise<void> {
  const image = makeImage(one)
  const store = new MemoryStore()
  await Repository.init(store, {
    crypto: 'none',
    chunker: one.chunker,
    regionBytes: REGION_BYTES,
    packBytes: 64 * KIB,
  })
  await using repo = await Repository.open(store, { codec: one.codec })
  const first = await backUp(repo, one, image, workers, folder)
  const size = first.volumes[0]?.sizeBytes
  if (size !== image.length) throw new Error(`The snapshot has ${size} bytes, the image ${image.length}.`)
  // The same bytes, read another way: nothing is new, and the digest of the image is the same.
  const plain = await repo.backup(new MemorySource(image), { name: 'again', workers: 0 })
  if (first.volumes[0]?.imageDigest !== plain.volumes[0]?.imageDigest)
    throw new Error('The image digest differs.')
  const again = await backUp(repo, one, image, workers, folder)
  if (again.stats.chunksNew !== 0)
    throw new Error(`${again.stats.chunksNew} chunks of a known image are new.`)
  for await (const range of repo.diff(first.id, again.id))
    throw new Error(`diff says ${JSON.stringify(range)}.`)

  assertEqual(await restored(repo, one, image, first.id, workers, folder), image, 'restored')
  await using opened = await repo.openImage(first.id, { cacheBytes: 128 * KIB })
  const random = generator(one.seed)
  for (let i = 0; i < 4; i++) {
    const offset = Math.floor(random() * (image.length + 1))
    const length = Math.floor(random() * 100 * KIB)
    assertEqual(
      await opened.read(offset, length),
      image.subarray(offset, offset + length),
      `read at ${offset}`,
    )
  }
  const report = await repo.check({ readData: true, workers: 0 })
  if (report.findings.length > 0) throw new Error(JSON.stringify(report.findings))
}

async function backUp(repo: Repository, one: Case, image: Uint8Array, workers: number, folder: string) {
  const options = { name: 'disk', workers }
  switch (one.source) {
    case 'plain':
      return await repo.backup(new MemorySource(image), options)
    case 'extents':
      return await repo.backup(new MemorySource(image, { extents: extentsOf(image, one.seed) }), options)
    case 'stream':
      return await repo.backup(new StreamSource(pieces(image, one.seed)), options)
    case 'file': {
      const path = join(folder, 'source.img')
      await writeFile(path, image)
      await using source = await FileSource.open(path)
      return await repo.backup(source, options)
    }
  }
}

async function restored(
  repo: Repository,
  one: Case,
  image: Uint8Array,
  id: string,
  workers: number,
  folder: string,
): Promise<Uint8Array> {
  if (one.target === 'memory') {
    const target = new MemoryTarget()
    await repo.restore(id, target, { workers })
    return target.bytes
  }
  const path = join(folder, 'target.img')
  await rm(path, { force: true })
  if (one.target === 'dirty file') await writeFile(path, Buffer.alloc(image.length + 5000, 0xa5))
  if (one.target === 'only different') await writeFile(path, damaged(image, one.seed))
  await using target = await FileTarget.open(path, { overwrite: true })
  await repo.restore(id, target, { workers, onlyDifferent: one.target === 'only different' })
  return await readFile(path)
}

function makeImage(one: Case): Uint8Array {
  const bytes = Buffer.alloc(one.stretches.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const { kind, length, seed } of one.stretches) {
    const part = bytes.subarray(at, at + length)
    const random = generator(seed)
    if (kind === 'text') part.fill(`stretch ${seed % 7} of a disk; `)
    if (kind === 'noise') for (let i = 0; i < length; i++) part[i] = random() * 256
    if (kind === 'copy' && at > 0) bytes.copy(part, 0, Math.floor((random() * at) / 4096) * 4096, at)
    at += length
  }
  return one.cutTo === undefined ? bytes : bytes.subarray(0, Math.min(one.cutTo, bytes.length))
}

/** Extents of an image that name some of its zeros as holes, at any byte, and the rest as data. */
function extentsOf(image: Uint8Array, seed: number): Extent[] {
  const random = generator(seed)
  const extents: Extent[] = []
  for (let at = 0; at < image.length; ) {
    const length = Math.min(image.length - at, 1 + Math.floor(random() * 100 * KIB))
    const isZero = image.subarray(at, at + length).every((byte) => byte === 0)
    extents.push({ offset: at, length, kind: isZero && random() < 0.8 ? 'hole' : 'data' })
    at += length
  }
  return extents
}

async function* pieces(image: Uint8Array, seed: number): AsyncGenerator<Uint8Array> {
  const random = generator(seed)
  for (let at = 0; at < image.length; ) {
    const length = 1 + Math.floor(random() * 150 * KIB)
    yield image.slice(at, at + length)
    at += length
  }
}

/** What a target may hold already: the image with some bytes changed, or of another length. */
function damaged(image: Uint8Array, seed: number): Uint8Array {
  const random = generator(seed)
  const bytes = Buffer.concat([image, Buffer.alloc(random() < 0.5 ? 0 : 9000, 1)])
  for (let i = 0; i < 5 && bytes.length > 0; i++) bytes[Math.floor(random() * bytes.length)]! ^= 0xff
  return bytes.subarray(0, random() < 0.3 ? Math.floor(bytes.length / 2) : bytes.length)
}

function assertEqual(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return
  const at = expected.findIndex((byte, i) => actual[i] !== byte)
  throw new Error(`${what}: ${actual.length} of ${expected.length} bytes, the first difference at ${at}`)
}

/** Repeatable numbers from 0 to 1 (xorshift32). */
function generator(seed: number): () => number {
  let state = seed | 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
