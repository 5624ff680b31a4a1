import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type BlockSource,
  type BlockTarget,
  type ErrorCode,
  PlatterError,
  type ReadableStore,
  type SnapshotId,
  type Store,
} from '@platter/core'
import { LocalStore, MemorySource, MemoryStore, MemoryTarget, StreamSource } from '@platter/fs-adapters'
import {
  type BackupProgress,
  type InitOptions,
  type OpenOptions,
  Repository,
  type RestoreProgress,
  type Snapshot,
} from '@platter/repo'
import * as fc from 'fast-check'
import { test } from 'tap'
import {
  collected,
  imageSpec,
  makeImage,
  noise,
  SparseDisk,
  sameBytes,
  seededRandom,
  words,
} from './images.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SMALL: InitOptions = {
  random: seededRandom(0),
  crypto: 'none',
  regionBytes: 64 * KIB,
  packBytes: 64 * KIB,
  chunker: { kind: 'aligned', minBytes: 4 * KIB, averageBytes: 16 * KIB, maxBytes: 64 * KIB },
}

async function newRepository(
  init: Partial<InitOptions> = {},
  options: OpenOptions = {},
  store: Store = new MemoryStore(),
): Promise<Repository> {
  await Repository.init(store, { ...SMALL, ...init })
  return await Repository.open(store, options)
}

async function restored(repo: Repository, reference: string, workers = 0): Promise<Uint8Array> {
  const target = new MemoryTarget()
  await repo.restore(reference, target, { workers })
  return target.bytes
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | string> {
  const error: unknown = await promise.then(
    () => 'no error',
    (e: unknown) => e,
  )
  return error instanceof PlatterError ? error.code : String(error)
}

async function objects(store: ReadableStore, prefix = ''): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for await (const { name, sizeBytes } of store.list(prefix)) found.set(name, sizeBytes)
  return found
}

function sum(sizes: Iterable<number>): number {
  return [...sizes].reduce((a, b) => a + b, 0)
}

// --- borders of pieces and windows -----------------------------------------------------------------------------

test('images of several pieces and windows come back, with data and holes across every border', async (t) => {
  // Pieces, slabs and windows are fractions of 4 MiB, so their borders lie at multiples of 512 KiB.
  const chunkers = [
    { kind: 'aligned', minBytes: 64 * KIB, averageBytes: 256 * KIB, maxBytes: MIB },
    { kind: 'aligned', minBytes: 4 * KIB, averageBytes: 16 * KIB, maxBytes: 64 * KIB },
    { kind: 'fastcdc', minBytes: 20_000, averageBytes: 300_000, maxBytes: 3_000_001 },
    { kind: 'fixed', minBytes: 700_001, averageBytes: 700_001, maxBytes: 700_001 },
  ] as const
  const border = fc.tuple(fc.integer({ min: 1, max: 23 }), fc.integer({ min: -20, max: 20 }), fc.nat(40))
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...chunkers),
      fc.constantFrom(16 * MIB, 5 * MIB),
      fc.array(border, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      fc.constantFrom('memory', 'stream', 'extents'),
      async (chunker, regionBytes, borders, isWords, way) => {
        const size = 12 * MIB - 3000
        const image = isWords ? words(size) : noise(size, borders.length)
        const holes = borders
          .map(([at, before, length]) => {
            const from = Math.max(0, at * 512 * KIB + before * 4096)
            return { from, to: Math.min(size, from + length * 4096) }
          })
          .sort((a, b) => a.from - b.from)
        for (const { from, to } of holes) image.fill(0, from, to)
        const extents: { kind: 'data' | 'hole'; offset: number; length: number }[] = []
        let at = 0
        for (const { from, to } of holes) {
          if (from < at || from === to) continue
          if (from > at) extents.push({ kind: 'data', offset: at, length: from - at })
          extents.push({ kind: 'hole', offset: from, length: to - from })
          at = to
        }
        if (at < size) extents.push({ kind: 'data', offset: at, length: size - at })

        const repo = await newRepository({ chunker, regionBytes, packBytes: MIB }, { codec: 'lz4' })
        async function* pieces(): AsyncGenerator<Uint8Array> {
          for (let i = 0; i < size; i += 300_001) yield image.slice(i, i + 300_001)
        }
        const source =
          way === 'stream'
            ? new StreamSource(pieces())
            : new MemorySource(image, way === 'extents' ? { extents } : {})
        await repo.backup(source, { workers: 0 })
        if (!sameBytes(await restored(repo, 'latest'), image)) throw new Error('restored otherwise')
        const { findings } = await repo.check({ readData: true, workers: 0 })
        if (findings.length > 0) throw new Error(JSON.stringify(findings))
      },
    ),
    { numRuns: 12 },
  )
  t.pass()
})

test('more chunks in a region than any table was made for', async (t) => {
  // The largest chunks let a table expect few of them; the holes between make many.
  const places: { offset: number; bytes: Uint8Array }[] = []
  for (let i = 0; i < 9000; i++) {
    const bytes = new Uint8Array(4096)
    new DataView(bytes.buffer).setUint32(0, i + 1)
    places.push({ offset: i * 17 * 4096, bytes })
  }
  const chunkBytes = 16 * MIB - 1
  const chunker = {
    kind: 'fixed',
    minBytes: chunkBytes,
    averageBytes: chunkBytes,
    maxBytes: chunkBytes,
  } as const
  const repo = await newRepository({ chunker, regionBytes: 256 * MIB, packBytes: 4 * MIB })
  const { stats } = await repo.backup(new SparseDisk(9000 * 17 * 4096, places), { workers: 0 })
  t.equal(stats.chunksNew, 9000)
  const image = await repo.openImage('latest')
  for (const i of [0, 1, 4000, 8999])
    t.ok(sameBytes(await image.read(places[i]!.offset, 4096), places[i]!.bytes), `place ${i}`)
})

test('what a configuration allows can be stored and read', async (t) => {
  // The most chunks a leaf can have: it must stay within the length of a blob.
  const chunker = { kind: 'fixed', minBytes: 512, averageBytes: 512, maxBytes: 512 } as const
  const refused: number[] = []
  for (const regionBytes of [256, 128, 96, 64].map((n) => n * MIB)) {
    const store = new MemoryStore()
    const code = await codeOf(Repository.init(store, { ...SMALL, chunker, regionBytes }))
    if (code === 'ERR_INVALID_ARGUMENT') {
      refused.push(regionBytes)
      continue
    }
    t.equal(code, 'no error')
    const repo = await Repository.open(store, { codec: 'none' })
    const image = new Uint8Array(Buffer.alloc(regionBytes, noise(512, 1)))
    await repo.backup(new MemorySource(image), { workers: 0 })
    const opened = await repo.openImage('latest')
    t.ok(sameBytes(await opened.read(regionBytes - 600, 600), image.subarray(regionBytes - 600)))
    t.same((await repo.check()).findings, [])
    break
  }
  t.ok(refused.includes(256 * MIB), 'a leaf of half a million chunks would be longer than a blob can be')
})

// --- disks far larger than memory ------------------------------------------------------------------------------

/** A target that keeps nothing, and checks whatever it gets against the disk it is a copy of. */
class ComparingTarget implements BlockTarget {
  readonly sequential = false
  readonly info = { kind: 'memory', label: 'comparing', capacityBytes: undefined }
  readonly covered: [from: number, to: number][] = []
  written = 0
  readonly #disk: SparseDisk
  readonly #blank: boolean

  constructor(disk: SparseDisk, blank: boolean) {
    this.#disk = disk
    this.#blank = blank
  }

  async prepare(): Promise<{ blank: boolean }> {
    return { blank: this.#blank }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    const expected = new Uint8Array(data.length)
    this.#disk.fill(offset, expected)
    if (!sameBytes(data, expected)) throw new Error(`other bytes at ${offset}`)
    this.covered.push([offset, offset + data.length])
    this.written += data.length
  }

  async zero(offset: number, length: number): Promise<void> {
    this.covered.push([offset, offset + length])
  }

  /** Ends of what is covered without gap and overlap from 0 on. */
  get end(): number {
    let end = 0
    for (const [from, to] of this.covered.sort((a, b) => a[0] - b[0])) {
      if (from !== end) throw new Error(`a gap or an overlap at ${end}`)
      end = to
    }
    return end
  }

  async flush(): Promise<void> {}
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

for (const [what, sizeBytes, regionBytes] of [
  ['1 TiB', 2 ** 40, 64 * MIB],
  ['1 TiB in the smallest regions', 2 ** 40 + 1, 64 * KIB],
  ['the largest image', Number.MAX_SAFE_INTEGER, 64 * MIB],
  ['the largest image in the smallest regions', Number.MAX_SAFE_INTEGER, 64 * KIB],
  ['the largest image in the largest regions', Number.MAX_SAFE_INTEGER, 256 * MIB],
] as const) {
  // The timeout is for work that grows with the image's size, which would take hours.
  test(`a sparse disk: ${what}`, { timeout: 120_000 }, async (t) => {
    const middle = Math.floor(sizeBytes / 3)
    const places = [
      { offset: 0, bytes: noise(10_000, 1) },
      { offset: middle, bytes: noise(500_000, 2) },
      { offset: Math.floor(sizeBytes / 2), bytes: words(100_000) },
      { offset: sizeBytes - 5000, bytes: noise(5000, 3) },
    ]
    const disk = new SparseDisk(sizeBytes, places)
    const repo = await newRepository({ regionBytes, packBytes: MIB })
    const first = await repo.backup(disk, { name: 'disk', workers: 0 })
    t.equal(first.volumes[0]!.sizeBytes, sizeBytes)
    t.ok(disk.bytesRead < MIB, `${disk.bytesRead} bytes are read`)

    const blank = new ComparingTarget(disk, true)
    const stats = await repo.restore('latest', blank, { workers: 0 })
    t.equal(blank.written, stats.bytesWritten)
    t.ok(stats.bytesWritten >= 615_000 && stats.bytesWritten < MIB)
    t.equal(stats.bytesWritten + stats.bytesZeroed, sizeBytes)
    const used = new ComparingTarget(disk, false)
    await repo.restore('latest', used, { workers: 0 })
    t.equal(used.end, sizeBytes, 'on a used target every byte is written or zeroed, once')

    const image = await repo.openImage('latest')
    for (const offset of [0, middle - 100, middle + 400_000, 2 ** 39, sizeBytes - 5000, sizeBytes - 1]) {
      const expected = new Uint8Array(Math.min(200_000, sizeBytes - offset))
      disk.fill(offset, expected)
      t.ok(sameBytes(await image.read(offset, 200_000), expected), `read at ${offset}`)
    }
    t.equal((await image.read(sizeBytes, 10)).length, 0)
    const extents = await collected(image.extents())
    t.equal(sum(extents.map(({ length }) => length)), sizeBytes)
    t.equal(extents.filter(({ kind }) => kind === 'data').length, places.length)

    // One place changed, and one that is new.
    const changed = [...places]
    changed[1] = { offset: middle, bytes: noise(500_000, 9) }
    changed.splice(3, 0, { offset: Math.floor(sizeBytes / 4) * 3, bytes: noise(1, 4) })
    const second = await repo.backup(new SparseDisk(sizeBytes, changed), { name: 'disk', workers: 0 })
    const ranges = await collected(repo.diff(first.id, second.id))
    for (const { offset, bytes } of [changed[1]!, changed[3]!]) {
      const inside = (at: number): boolean =>
        ranges.some((range) => range.offset <= at && at < range.offset + range.length)
      t.ok(inside(offset) && inside(offset + bytes.length - 1), `the change at ${offset} is in a range`)
    }
    t.ok(sum(ranges.map(({ length }) => length)) < MIB, 'and little else is')
    t.same(await collected(repo.diff(second.id, first.id)), ranges)
    t.same(await collected(repo.diff(first.id, first.id)), [])

    // A small image that starts the same: all behind it differs.
    const small = await repo.backup(new MemorySource(noise(10_000, 1)), { name: 'small', workers: 0 })
    const tail = (await collected(repo.diff(small.id, first.id))).at(-1)
    t.equal(tail!.offset + tail!.length, sizeBytes)
    t.ok(tail!.offset <= 10_000)
    t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  })
}

// --- diff ------------------------------------------------------------------------------------------------------

test('outside the ranges of a diff, images are equal', async (t) => {
  const kinds = fc.constantFrom('aligned' as const, 'fastcdc' as const)
  const change = fc.record({
    kind: fc.constantFrom('overwrite', 'zero', 'cut', 'append', 'none'),
    at: fc.nat(),
    length: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 200_000 })),
  })
  let equalPairs = 0
  await fc.assert(
    fc.asyncProperty(imageSpec, fc.array(change, { maxLength: 3 }), kinds, async (spec, changes, kind) => {
      const { bytes: a, extents } = makeImage(spec)
      let b = a.slice()
      for (const { kind: how, at, length } of changes) {
        const from = b.length === 0 ? 0 : at % b.length
        if (how === 'overwrite') b.set(noise(Math.min(length, b.length - from), at), from)
        if (how === 'zero') b.fill(0, from, from + length)
        if (how === 'cut') b = b.slice(0, from)
        if (how === 'append') b = new Uint8Array(Buffer.concat([b, noise(length, at)]))
      }
      const repo = await newRepository({ chunker: { ...SMALL.chunker!, kind } }, { codec: 'none' })
      // What one backup knows of holes, the other has to find.
      const known = extents.map((extent) => ({
        ...extent,
        kind: extent.kind === 'unused' ? ('data' as const) : extent.kind,
      }))
      const left = await repo.backup(new MemorySource(a, { extents: known }), { workers: 0 })
      const right = await repo.backup(new MemorySource(b), { workers: 0 })
      const ranges = await collected(repo.diff(left.id, right.id))
      let end = -1
      for (const { offset, length } of ranges) {
        if (offset <= end || length <= 0) throw new Error(`a range at ${offset} after one up to ${end}`)
        end = offset + length
      }
      const [longest, common] = [Math.max(a.length, b.length), Math.min(a.length, b.length)]
      if (end > longest) throw new Error('a range behind the end')
      if (a.length !== b.length && end !== longest) throw new Error('what one image lacks is not in a range')
      let at = 0
      for (const { offset, length } of [...ranges, { offset: common, length: 0 }]) {
        const to = Math.min(offset, common)
        if (to > at && !sameBytes(a.subarray(at, to), b.subarray(at, to)))
          throw new Error(`a difference between ${at} and ${to} is not told`)
        at = Math.max(at, offset + length)
      }
      if (!changes.some(({ kind: how }) => how !== 'none')) {
        const again = await repo.backup(new MemorySource(a, { extents: known }), { workers: 0 })
        if ((await collected(repo.diff(left.id, again.id))).length > 0) throw new Error('equal images differ')
        equalPairs++
      }
      const mirrored = await collected(repo.diff(right.id, left.id))
      if (JSON.stringify(mirrored) !== JSON.stringify(ranges))
        throw new Error('the other way round it is another')
    }),
    { numRuns: 120 },
  )
  t.ok(equalPairs > 0)
})

test('a diff is as fine as chunks', async (t) => {
  const repo = await newRepository({ regionBytes: MIB })
  const image = noise(3 * MIB, 1)
  const first = await repo.backup(new MemorySource(image), { workers: 0 })
  for (const place of [0, 1_500_000, 3 * MIB - 1]) {
    const changed = image.slice()
    changed[place]! ^= 1
    const second = await repo.backup(new MemorySource(changed), { workers: 0 })
    const ranges = await collected(repo.diff(first.id, second.id))
    t.ok(
      ranges.some(({ offset, length }) => offset <= place && place < offset + length),
      `byte ${place} is told`,
    )
    t.ok(sum(ranges.map(({ length }) => length)) <= 256 * KIB, 'and not much more')
  }
})

// --- snapshots -------------------------------------------------------------------------------------------------

/** A repository with a clock that the test moves, and with session ids that it chooses. */
async function datedRepository(): Promise<{ repo: Repository; clock: { now: Date; ids: string[] } }> {
  const clock: { now: Date; ids: string[] } = { now: new Date(0), ids: [] }
  const other = seededRandom(3)
  const random = (length: number): Uint8Array => {
    const id = length === 16 ? clock.ids.shift() : undefined
    return id === undefined ? other(length) : new Uint8Array(Buffer.from(id.padEnd(32, '0'), 'hex'))
  }
  const repo = await newRepository({}, { now: () => clock.now, random })
  return { repo, clock }
}

test('snapshots come oldest first, and are filtered and found', async (t) => {
  const { repo, clock } = await datedRepository()
  const made: Snapshot[] = []
  const backUp = async (
    hour: number,
    id: string,
    name: string,
    host: string,
    tags: string[],
  ): Promise<Snapshot> => {
    clock.now = new Date(Date.UTC(2026, 0, 1, hour))
    clock.ids.push(id)
    const snapshot = await repo.backup(new MemorySource(noise(5000, hour)), { name, host, tags, workers: 0 })
    made.push(snapshot)
    return snapshot
  }
  t.same(await collected(repo.snapshots()), [])
  for (const reference of ['latest', 'latest:web', 'abcd', ''])
    t.equal(await codeOf(repo.snapshot(reference)), 'ERR_SNAPSHOT_NOT_FOUND', reference)

  const web5 = await backUp(5, 'aaaa1111', 'web', 'h1', ['daily', 'kept'])
  const web3 = await backUp(3, 'bbbb2222', 'web', 'h2', ['daily'])
  const db4 = await backUp(4, 'aaaa1122', 'db', 'h1', [])
  const twin = await backUp(4, 'aaaa0000', 'db', 'h1', ['weekly'])
  const ids = async (filter: Parameters<Repository['snapshots']>[0]): Promise<SnapshotId[]> =>
    (await collected(repo.snapshots(filter))).map(({ id }) => id)
  t.same(await ids({}), [web3.id, twin.id, db4.id, web5.id], 'by time, then by id')
  t.same(await ids({ name: 'web' }), [web3.id, web5.id])
  t.same(await ids({ host: 'h1' }), [twin.id, db4.id, web5.id])
  t.same(await ids({ tag: 'daily' }), [web3.id, web5.id])
  t.same(await ids({ name: 'web', tag: 'kept' }), [web5.id])
  t.same(await ids({ name: 'db', tag: 'daily' }), [])
  t.same(await ids({ name: 'we' }), [], 'a name is the whole name')

  t.equal((await repo.snapshot('latest')).id, web5.id)
  t.equal((await repo.snapshot('latest:db')).id, db4.id)
  t.equal(await codeOf(repo.snapshot('latest:other')), 'ERR_SNAPSHOT_NOT_FOUND')
  t.equal((await repo.snapshot('bbbb')).id, web3.id)
  t.equal((await repo.snapshot('BBBB22')).id, web3.id)
  t.equal((await repo.snapshot('aaaa112')).id, db4.id)
  t.equal((await repo.snapshot(web5.id)).id, web5.id)
  for (const reference of ['bbb', 'cccc', 'bbbb2223', `${web5.id}0`, 'bbbg', '../bbbb', 'late', 'latest '])
    t.equal(await codeOf(repo.snapshot(reference)), 'ERR_SNAPSHOT_NOT_FOUND', reference)
  const ambiguous: unknown = await repo.snapshot('aaaa').catch((e: unknown) => e)
  t.ok(PlatterError.is(ambiguous, 'ERR_SNAPSHOT_AMBIGUOUS'))
  t.same((ambiguous as PlatterError).details.candidates, [twin.id, web5.id, db4.id].sort())
  for (const work of [
    (reference: string) => repo.restore(reference, new MemoryTarget()),
    (reference: string) => repo.openImage(reference),
    (reference: string) => repo.forget(reference),
    (reference: string) => collected(repo.diff(reference, web5.id)),
    (reference: string) => collected(repo.diff(web5.id, reference)),
  ]) {
    t.equal(await codeOf(work('aaaa')), 'ERR_SNAPSHOT_AMBIGUOUS')
    t.equal(await codeOf(work('cccc')), 'ERR_SNAPSHOT_NOT_FOUND')
  }
  t.same(
    made.map(({ parent }) => parent),
    [undefined, web5.id, undefined, db4.id],
    'the parent is the newest of the name by time, whichever was made last',
  )
  for (const snapshot of made) {
    t.same(await repo.snapshot(snapshot.id), snapshot, 'what backup gives is what is read')
    t.equal(Date.parse(snapshot.time) % 3_600_000, 0)
    t.match(snapshot.time, /^2026-01-01T\d\d:00:00\.000[+-]\d\d:\d\d$|^2025-12-31/)
  }

  t.equal(await repo.forget('aaaa11'.padEnd(8, '1')), web5.id)
  t.same(await ids({}), [web3.id, twin.id, db4.id])
  t.equal((await repo.snapshot('latest')).id, db4.id)
  t.equal((await repo.snapshot('aaaa11')).id, db4.id, 'a forgotten snapshot makes no prefix ambiguous')
  t.equal(await codeOf(repo.snapshot(web5.id)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.equal(await codeOf(repo.forget(web5.id)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.equal((await backUp(6, 'dddd', 'web', 'h1', [])).parent, web3.id, 'nor is it a parent')
  t.ok(sameBytes(await restored(repo, 'dddd'), noise(5000, 6)))
  t.match(await repo.stats(), { snapshots: 4, bytesImages: 20_000 })
})

test('names, hosts and tags come back as they were given', async (t) => {
  const repo = await newRepository()
  const image = noise(100, 1)
  const given = { name: 'web-01/sda ✓ ü', host: '', tags: ['a', 'ä', 'x'.repeat(256), 'a'] }
  const { id } = await repo.backup(new MemorySource(image), { ...given, workers: 0 })
  const fresh = await repo.snapshot(id)
  t.match(fresh, given)
  const plain = await repo.backup(new MemorySource(image, { label: 'disk.raw' }), { workers: 0 })
  t.equal(plain.name, 'disk.raw', 'the name is the label where none is given')
  t.ok(plain.host.length > 0)
  t.same(plain.tags, [])
  t.match(plain.volumes[0]!.source, { kind: 'memory', label: 'disk.raw' })
})

// --- what a repository holds -----------------------------------------------------------------------------------

test('stats add up, and images share what they have in common', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository({ regionBytes: MIB, packBytes: MIB }, { codec: 'none' }, store)
  const common = noise(2 * MIB, 1)
  const before = sum((await objects(store)).values())
  const first = await repo.backup(new MemorySource(common), { name: 'a', workers: 0 })
  const after = await objects(store)
  const records = sum(
    [...after].filter(([name]) => /^(sessions|snapshots)\//.test(name)).map(([, size]) => size),
  )
  t.equal(
    before + first.stats.bytesStored + records,
    sum(after.values()),
    'bytesStored is what packs and index take',
  )
  t.equal(first.stats.bytesNew, 2 * MIB)

  // The second image has the same two MiB, moved by one region, and half a MiB of its own.
  const image = new Uint8Array(Buffer.concat([new Uint8Array(MIB), common, noise(MIB / 2, 2)]))
  const second = await repo.backup(new MemorySource(image), { name: 'b', workers: 0 })
  t.equal(second.stats.bytesNew, MIB / 2)
  t.equal(second.stats.chunksKnown, first.stats.chunksNew)
  t.equal(second.stats.bytesHole, MIB)
  const stats = await repo.stats()
  const all = await objects(store)
  const packs = [...all].filter(([name]) => name.startsWith('packs/'))
  t.same(stats, {
    snapshots: 2,
    bytesImages: 5.5 * MIB,
    bytesUnique: 2.5 * MIB,
    bytesStored: sum(all.values()),
    bytesPacks: sum(packs.map(([, size]) => size)),
    bytesIndex: sum([...all].filter(([name]) => name.startsWith('index/')).map(([, size]) => size)),
    packs: packs.length,
    chunks: first.stats.chunksNew + second.stats.chunksNew,
  })
  for (const [name] of packs) {
    const hash = name.slice(-64)
    // A pack is named by what it holds: see docs/format.md, Packs.
    t.not(
      hash,
      createHash('sha256')
        .update(await store.get(name))
        .digest('hex'),
    )
  }
  const report = await repo.check({ readData: true, workers: 0 })
  t.match(report, {
    findings: [],
    snapshots: 2,
    packs: packs.length,
    packsRead: packs.length,
    chunks: stats.chunks,
  })
  t.equal(report.bytesRead, stats.bytesPacks)
})

test('an image that repeats itself is stored once', async (t) => {
  const repo = await newRepository({ regionBytes: MIB }, { codec: 'lz4' })
  const image = new Uint8Array(Buffer.alloc(8 * MIB, noise(MIB, 5)))
  const { stats } = await repo.backup(new MemorySource(image), { workers: 0 })
  t.equal(stats.bytesNew, MIB)
  t.equal(stats.chunksKnown, stats.chunksNew * 7)
  t.ok(stats.bytesStored < 1.05 * MIB, 'the leaves are the same too')
  t.ok(sameBytes(await restored(repo, 'latest'), image))
})

test('codecs can be mixed, and new blobs be verified', async (t) => {
  const store = new MemoryStore()
  await Repository.init(store, SMALL)
  const images = {
    none: words(300_000),
    lz4: words(500_000).reverse(),
    auto: words(400_000).map((b) => b ^ 1),
  }
  for (const [codec, image] of Object.entries(images)) {
    for (const verifyCompression of ['all', 'sample'] as const) {
      const repo = await Repository.open(store, { codec: codec as keyof typeof images, verifyCompression })
      const { stats } = await repo.backup(new MemorySource(image), { name: codec, workers: 0 })
      if (verifyCompression === 'sample') t.equal(stats.chunksNew, 0)
      else if (codec === 'none') t.ok(stats.bytesStored > stats.bytesNew)
      else t.ok(stats.bytesStored < stats.bytesNew / 2)
    }
  }
  const repo = await Repository.open(store)
  for (const [name, image] of Object.entries(images))
    t.ok(sameBytes(await restored(repo, `latest:${name}`), image), name)
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
})

test('a store that can only be read gives a repository that can only be read', async (t) => {
  const store = new MemoryStore()
  const image = noise(300_000, 1)
  const writer = await newRepository({}, {}, store)
  const { id } = await writer.backup(new MemorySource(image), { name: 'disk', workers: 0 })
  const readable: ReadableStore = {
    label: 'read-only',
    get: (...args) => store.get(...args),
    getRange: (...args) => store.getRange(...args),
    stat: (...args) => store.stat(...args),
    list: (...args) => store.list(...args),
    close: async () => {},
  }
  const before = await objects(store)
  await using repo = await Repository.open(readable)
  t.ok(sameBytes(await restored(repo, 'latest:disk'), image))
  t.ok(sameBytes(await (await repo.openImage(id)).read(1000, 1000), image.subarray(1000, 2000)))
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  t.equal((await repo.stats()).snapshots, 1)
  t.same(await collected(repo.diff(id, id)), [])
  t.equal(await codeOf(repo.backup(new MemorySource(image))), 'ERR_STORE_UNSUPPORTED')
  t.equal(await codeOf(repo.forget(id)), 'ERR_STORE_UNSUPPORTED')
  t.same(await objects(store), before)
})

// --- at the same time ------------------------------------------------------------------------------------------

test('backups at the same time all commit, and all restore', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on('warning', onWarning)
  const folder = t.testdir()
  for (const store of [new MemoryStore(), await LocalStore.create(`${folder}/store`)]) {
    const repo = await newRepository({ random: seededRandom(1) }, {}, store)
    const other = await Repository.open(store)
    const common = noise(400_000, 1)
    const images = Array.from(
      { length: 4 },
      (_, i) => new Uint8Array(Buffer.concat([common, noise(100_000, i + 2)])),
    )
    const snapshots = await Promise.all(
      images.map((image, i) =>
        (i % 2 === 0 ? repo : other).backup(new MemorySource(image), { name: `disk ${i}`, workers: 0 }),
      ),
    )
    t.equal(new Set(snapshots.map(({ id }) => id)).size, 4)
    const listed = await collected(repo.snapshots())
    t.same(listed.map(({ name }) => name).sort(), ['disk 0', 'disk 1', 'disk 2', 'disk 3'])
    const copies = await Promise.all(snapshots.map(({ id }, i) => restored(i % 2 === 0 ? other : repo, id)))
    for (const [i, copy] of copies.entries()) t.ok(sameBytes(copy, images[i]!), `image ${i}`)
    t.same(
      (await repo.check({ readData: true, workers: 0 })).findings,
      [],
      'what was stored twice is no damage',
    )
    const again = await other.backup(new MemorySource(images[3]!), { workers: 0 })
    t.equal(again.stats.chunksNew, 0)
    const oneByOne = await newRepository({ random: seededRandom(1) })
    for (const image of images) await oneByOne.backup(new MemorySource(image), { workers: 0 })
    const { chunks, bytesUnique } = await oneByOne.stats()
    t.match(await repo.stats(), { chunks, bytesUnique }, 'and counts once')
    // Many at once: what listens for an abort must be let go again.
    await Promise.all(Array.from({ length: 20 }, () => restored(repo, 'latest')))
    const image = await repo.openImage(snapshots[1]!.id, { cacheBytes: 50_000 })
    const reads = await Promise.all(Array.from({ length: 50 }, (_, i) => image.read(i * 9000, 60_000)))
    for (const [i, bytes] of reads.entries())
      if (!sameBytes(bytes, images[1]!.subarray(i * 9000, i * 9000 + 60_000))) t.fail(`read ${i}`)
    await image.close()
  }
  await delay(10)
  process.off('warning', onWarning)
  t.same(warnings, [])
})

test('an aborted backup leaves nothing visible, and the next one works', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository({}, {}, store)
  const image = noise(600_000, 1)
  for (const after of [0, 1, 3, 7]) {
    const reason = new Error(`after ${after} reads`)
    const abort = new AbortController()
    const source: BlockSource = new MemorySource(image)
    let reads = 0
    const inner = source.read.bind(source)
    source.read = async (...args) => {
      if (reads++ === after) abort.abort(reason)
      return await inner(...args)
    }
    const error: unknown = await repo
      .backup(source, { workers: 0, signal: abort.signal })
      .catch((e: unknown) => e)
    t.equal(error, reason, 'the reason is what is thrown')
    t.same(await collected(repo.snapshots()), [])
  }
  t.equal(
    await codeOf(repo.backup(new MemorySource(image), { signal: AbortSignal.abort() })),
    'AbortError: This operation was aborted',
  )
  const snapshot = await repo.backup(new MemorySource(image), { workers: 0 })
  t.ok(sameBytes(await restored(repo, snapshot.id), image))
  const abort = new AbortController()
  const target = new MemoryTarget()
  const write = target.write.bind(target)
  target.write = async (...args) => {
    abort.abort(new Error('stop'))
    await write(...args)
  }
  t.equal(await codeOf(repo.restore('latest', target, { workers: 0, signal: abort.signal })), 'Error: stop')
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
})

// --- progress --------------------------------------------------------------------------------------------------

/** Fails where a number goes down, or beyond its total. */
function assertAscends(steps: readonly (BackupProgress | RestoreProgress)[]): void {
  let before: Record<string, unknown> = {}
  for (const step of steps) {
    for (const [key, value] of Object.entries(step)) {
      if (typeof value === 'number' && value < Number(before[key] ?? 0))
        throw new Error(`${key} goes down from ${before[key]} to ${value}`)
    }
    if (step.bytesTotal !== undefined && step.bytesDone > step.bytesTotal)
      throw new Error(`${step.bytesDone} of ${step.bytesTotal} bytes are done`)
    before = { ...step }
  }
}

test('progress goes up, and ends with what was done', async (t) => {
  const image = noise(3 * MIB, 1)
  image.fill(0, MIB, 2 * MIB)
  image.copyWithin(2.5 * MIB, 0, MIB / 2)
  const extents = [
    { kind: 'data', offset: 0, length: MIB },
    { kind: 'hole', offset: MIB, length: MIB },
    { kind: 'data', offset: 2 * MIB, length: MIB },
  ] as const
  const slowly = (source: BlockSource): BlockSource => {
    const read = source.read.bind(source)
    source.read = async (...args) => {
      await delay(3)
      return await read(...args)
    }
    return source
  }
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < image.length; at += 100_000) yield image.slice(at, at + 100_000)
  }
  const sources: Record<string, () => BlockSource> = {
    'with extents': () => slowly(new MemorySource(image, { extents })),
    'without extents': () => slowly(new MemorySource(image)),
    stream: () => slowly(new StreamSource(pieces())),
  }
  for (const [what, source] of Object.entries(sources)) {
    const repo = await newRepository({ regionBytes: 512 * KIB })
    const steps: BackupProgress[] = []
    const { stats } = await repo.backup(source(), {
      workers: 0,
      progressMillis: 1,
      onProgress: (step) => steps.push(step),
    })
    assertAscends(steps)
    const last = steps.at(-1)!
    t.ok(steps.length > 5, `${what}: ${steps.length} steps`)
    t.match(last, { phase: 'committing', bytesDone: 3 * MIB, bytesTotal: 3 * MIB })
    t.equal(last.bytesRead, stats.bytesRead, `${what}: bytesRead`)
    t.equal(last.bytesNew, stats.bytesNew, `${what}: bytesNew`)
    t.equal(last.bytesStored, stats.bytesStored, `${what}: bytesStored`)
    t.equal(last.bytesNew + last.bytesKnown + stats.bytesHole, 3 * MIB, `${what}: everything is something`)
    t.ok(steps.some(({ bytesDone }) => bytesDone > 0 && bytesDone < 3 * MIB))

    const target = new MemoryTarget()
    const write = target.write.bind(target)
    target.write = async (...args) => {
      await delay(5)
      await write(...args)
    }
    const restoring: RestoreProgress[] = []
    const result = await repo.restore('latest', target, {
      workers: 0,
      progressMillis: 1,
      onProgress: (step) => restoring.push(step),
    })
    assertAscends(restoring)
    t.match(restoring.at(-1), { bytesDone: 3 * MIB, bytesTotal: 3 * MIB, bytesWritten: result.bytesWritten })
    t.ok(sameBytes(target.bytes, image))
  }
  const repo = await newRepository()
  const steps: BackupProgress[] = []
  await repo.backup(new MemorySource(image), { workers: 0, onProgress: (step) => steps.push(step) })
  t.ok(steps.length >= 1 && steps.length < 50, 'by default not more often than ten times a second')
})

test('progress of a restore to a stream is what the stream has taken', async (t) => {
  const image = noise(40 * MIB, 2)
  // Longer than any step by which progress may jump, both within regions and over whole ones.
  image.fill(0, 3 * MIB, 37 * MIB)
  const repo = await newRepository({ regionBytes: 4 * MIB, packBytes: 4 * MIB })
  await repo.backup(new MemorySource(image), { workers: 0 })
  for (const workers of [0, 2]) {
    const inner = new MemoryTarget()
    let taken = 0
    const steps: number[] = []
    const takes = async (length: number): Promise<void> => {
      await delay(5)
      taken += length
    }
    const target: BlockTarget = {
      info: inner.info,
      sequential: true,
      prepare: (bytes) => inner.prepare(bytes),
      write: async (offset, bytes) => {
        await inner.write(offset, bytes)
        await takes(bytes.length)
      },
      zero: async (offset, length) => {
        await inner.zero(offset, length)
        await takes(length)
      },
      flush: () => inner.flush(),
      close: () => inner.close(),
      [Symbol.asyncDispose]: () => inner.close(),
    }
    await repo.restore('latest', target, {
      workers,
      progressMillis: 1,
      onProgress: ({ bytesDone }) => {
        if (bytesDone > taken) throw new Error(`${bytesDone} bytes are told, ${taken} were taken`)
        steps.push(bytesDone)
      },
    })
    const longest = steps.map((step, i) => step - (steps[i - 1] ?? 0)).reduce((a, b) => Math.max(a, b), 0)
    t.ok(longest <= 20 * MIB, `the longest step is ${longest}`)
    t.equal(steps.at(-1), image.length)
    t.ok(sameBytes(inner.bytes, image))
  }
})
