// Backups that are told what changed: unchanged regions are taken over unread, and nothing is believed blindly.
import { type BlockSource, type Extent, PlatterError } from '@platter/core'
import { MemorySource, MemoryStore, StreamSource } from '@platter/fs-adapters'
import { type ByteRange, Repository, type Snapshot, type Warning } from '@platter/repo'
import fc from 'fast-check'
import t from 'tap'
import {
  codeOf,
  collected,
  diskImage,
  ENCRYPTED,
  newRepository,
  noise,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
} from './adversity.ts'

const REGION = SETTINGS.regionBytes!
const SIZE = 20 * REGION + 1234

/** A source that tells which bytes of it were read. */
class WatchedSource extends MemorySource {
  readonly reads: ByteRange[] = []

  override async read(...call: Parameters<BlockSource['read']>): Promise<number> {
    const length = await super.read(...call)
    this.reads.push({ offset: call[0], length })
    return length
  }

  readFrom(region: number): boolean {
    return this.reads.some(
      ({ offset, length }) => offset < (region + 1) * REGION && offset + length > region * REGION,
    )
  }
}

interface Told {
  readonly snapshot: string
  readonly extents: Iterable<ByteRange> | AsyncIterable<ByteRange>
  readonly auditSamples?: number
}

async function backUp(repo: Repository, source: BlockSource, changedSince?: Told): Promise<Snapshot> {
  return await repo.backup(source, {
    name: 'disk',
    workers: 0,
    ...(changedSince === undefined ? {} : { changedSince }),
  })
}

async function opened(store: MemoryStore, warnings: Warning[] = []): Promise<Repository> {
  return await Repository.open(store, { onWarning: (warning) => warnings.push(warning) })
}

/** The image with other bytes in some places. */
function changedImage(image: Uint8Array, ranges: readonly ByteRange[]): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(image)
  for (const { offset, length } of ranges) copy.set(noise(`change ${offset}`, length), offset)
  return copy
}

for (const [name, settings] of [
  ['plain', SETTINGS],
  ['encrypted', ENCRYPTED],
] as const)
  t.test(`what did not change is not read: ${name}`, async (t) => {
    const repo = await newRepository(new MemoryStore(), settings)
    const image = diskImage('before', SIZE)
    const first = await backUp(repo, new MemorySource(image))
    const extents = [
      { offset: 19 * REGION + 5, length: REGION },
      { offset: 3 * REGION, length: 1 },
    ]
    const source = new WatchedSource(changedImage(image, extents))
    const second = await backUp(repo, source, { snapshot: first.id, extents, auditSamples: 0 })
    t.same(
      Array.from({ length: 21 }, (_, i) => i).filter((region) => source.readFrom(region)),
      [3, 19, 20],
    )
    t.equal(second.volumes[0]!.changedSince, first.id)
    t.equal(second.stats.bytesReused, 18 * REGION)
    t.ok(sameBytes(await restored(repo, second.id), changedImage(image, extents)))
    const whole = await backUp(repo, new MemorySource(changedImage(image, extents)))
    t.equal(
      whole.volumes[0]!.root,
      second.volumes[0]!.root,
      'the tree is the one of a backup that reads everything',
    )
    t.equal(whole.volumes[0]!.imageDigest, second.volumes[0]!.imageDigest)
    t.same(whole.stats.bytesHole, second.stats.bytesHole)
    t.equal(whole.stats.bytesReused, undefined)
    t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  })

t.test('any true account of what changed gives what a whole reading gives', async (t) => {
  const range = fc.record({ offset: fc.nat(SIZE - 1), length: fc.integer({ min: 1, max: 2 * REGION }) })
  const spare = fc.record({ offset: fc.nat(SIZE + REGION), length: fc.nat(3 * REGION) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(range, { maxLength: 4 }),
      fc.array(spare, { maxLength: 3 }),
      fc.nat(5),
      async (wanted, more, auditSamples) => {
        const ranges = wanted.map(({ offset, length }) => ({
          offset,
          length: Math.min(length, SIZE - offset),
        }))
        const repo = await newRepository()
        const image = diskImage('property', SIZE)
        const { id } = await backUp(repo, new MemorySource(image))
        const after = changedImage(image, ranges)
        const extents = [...more, ...ranges]
        const told = await backUp(repo, new MemorySource(after), { snapshot: id, extents, auditSamples })
        const whole = await backUp(repo, new MemorySource(after))
        return told.volumes[0]!.root === whole.volumes[0]!.root
      },
    ),
    { numRuns: 25 },
  )
  t.pass('the same trees')
})

t.test('holes and unused space are taken over as they were', async (t) => {
  const repo = await newRepository()
  const { image, extents } = partlyUnused()
  const first = await backUp(repo, new MemorySource(image, { extents }))
  t.equal(first.stats.bytesUnused, 2.5 * REGION)
  const second = await backUp(repo, new MemorySource(image, { extents }), {
    snapshot: first.id,
    extents: [],
  })
  t.equal(second.volumes[0]!.root, first.volumes[0]!.root)
  const { stats } = second
  t.equal(stats.bytesHole, first.stats.bytesHole)
  t.equal(stats.bytesUnused, first.stats.bytesUnused)
  t.equal(stats.bytesReused, SIZE - 2 * REGION, 'what is unused as a whole needs nothing from before')
  await using opened = await repo.openImage(second.id)
  const kinds = (await collected(opened.extents())).map(({ kind }) => kind)
  t.ok(kinds.includes('unused') && kinds.includes('hole'))
})

t.test('what was left out as unused is read when it is in use now, changed or not', async (t) => {
  const repo = await newRepository()
  const { image, extents } = partlyUnused()
  const first = await backUp(repo, new MemorySource(image, { extents }))
  const told = { snapshot: first.id, extents: [] }
  const exact = await backUp(repo, new MemorySource(image), told)
  t.equal(exact.stats.bytesUnused, undefined)
  t.equal(exact.stats.bytesReused, SIZE - 3 * REGION)
  t.ok(sameBytes(await restored(repo, exact.id), image), 'bit for bit')
  // Of the region that was unused in part, less is unused now.
  const less: Extent[] = [
    { offset: 0, length: 12 * REGION, kind: 'data' },
    { offset: 12 * REGION, length: 2.25 * REGION, kind: 'unused' },
    { offset: 14.25 * REGION, length: SIZE - 14.25 * REGION, kind: 'data' },
  ]
  const partly = await backUp(repo, new MemorySource(image, { extents: less }), told)
  const expected = new Uint8Array(image)
  for (const { kind, offset, length } of less)
    if (kind === 'unused') expected.fill(0, offset, offset + length)
  t.ok(sameBytes(await restored(repo, partly.id), expected))
})

/** An image of which two regions, and half of the next, are unused and full of remains. */
function partlyUnused(): { readonly image: Uint8Array<ArrayBuffer>; readonly extents: Extent[] } {
  const image = new Uint8Array(diskImage('holes', SIZE))
  image.fill(0, 5 * REGION, 9 * REGION)
  image.set(noise('remains', 3 * REGION), 12 * REGION)
  return {
    image,
    extents: [
      { offset: 0, length: 12 * REGION, kind: 'data' },
      { offset: 12 * REGION, length: 2.5 * REGION, kind: 'unused' },
      { offset: 14.5 * REGION, length: SIZE - 14.5 * REGION, kind: 'data' },
    ],
  }
}

t.test('an account that is wrong is found out, and everything is read', async (t) => {
  const store = new MemoryStore()
  const image = diskImage('honest', SIZE)
  const { id } = await backUp(await newRepository(store), new MemorySource(image))
  // Every region differs, so whichever is drawn tells; of one byte in a chunk, and of what was a hole.
  const after = new Uint8Array(image)
  for (let at = 0; at < SIZE; at += 4096) after[at]! ^= 1
  const warnings: Warning[] = []
  const repo = await opened(store, warnings)
  const second = await backUp(repo, new MemorySource(after), { snapshot: id, extents: [], auditSamples: 1 })
  t.same(
    warnings.map(({ code }) => code),
    ['WARN_CHANGES_IGNORED'],
  )
  t.ok(sameBytes(await restored(repo, second.id), after))
  t.equal(second.volumes[0]!.changedSince, undefined)
  t.equal(second.stats.bytesReused, undefined)
})

t.test('where it cannot be relied upon, everything is read', async (t) => {
  const image = diskImage('unreliable', SIZE)
  const cases: Record<string, (repo: Repository, first: Snapshot) => Promise<[Uint8Array, Told]>> = {
    'another size': async (_, { id }) => [image.subarray(0, SIZE - 512), { snapshot: id, extents: [] }],
    'no such snapshot': async () => [image, { snapshot: '0123456789abcdef', extents: [] }],
    'a snapshot that was forgotten': async (repo, { id }) => {
      await repo.forget(id)
      return [image, { snapshot: id, extents: [] }]
    },
  }
  for (const [what, make] of Object.entries(cases)) {
    const store = new MemoryStore()
    const first = await backUp(await newRepository(store), new MemorySource(image))
    const warnings: Warning[] = []
    const repo = await opened(store, warnings)
    const [content, told] = await make(repo, first)
    const second = await backUp(repo, new MemorySource(new Uint8Array(content)), told)
    t.equal(warnings.at(-1)?.code, 'WARN_CHANGES_IGNORED', what)
    t.equal(second.stats.bytesReused, undefined, what)
    t.ok(sameBytes(await restored(repo, second.id), content), what)
  }
})

t.test('a chunk that the repository has lost is read again, whatever is said of it', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = noise('lost', SIZE)
  const { id } = await backUp(repo, new MemorySource(image))
  const packs = await collected(store.list('packs/'))
  // The largest, since those of nodes are small.
  const largest = packs.toSorted((a, b) => b.sizeBytes - a.sizeBytes).slice(0, 3)
  for (const { name } of largest) await replaceObject(store, name, undefined)
  await repo.repairIndex()
  const again = await opened(store)
  const second = await backUp(again, new MemorySource(image), { snapshot: id, extents: [], auditSamples: 0 })
  t.ok(sameBytes(await restored(again, second.id), image))
  t.same((await again.check({ readData: true, workers: 0 })).findings, [])
})

t.test('what could not be read is read again', async (t) => {
  const image = diskImage('bad', SIZE)
  const repo = await newRepository()
  class Failing extends MemorySource {
    override async read(...call: Parameters<BlockSource['read']>): Promise<number> {
      const [offset, into] = call
      if (offset < 7 * REGION + 4096 && offset + into.length > 7 * REGION)
        throw new PlatterError('ERR_SOURCE_READ', 'A bad place.', { offset: Math.max(offset, 7 * REGION) })
      return await super.read(...call)
    }
  }
  const first = await repo.backup(new Failing(image), { name: 'disk', workers: 0, onReadError: 'record' })
  t.ok(first.volumes[0]!.badRanges.length > 0)
  const second = await backUp(repo, new MemorySource(image), { snapshot: first.id, extents: [] })
  t.same(second.volumes[0]!.badRanges, [])
  t.ok(sameBytes(await restored(repo, second.id), image))
})

t.test('ranges that are none, and streams, are refused', async (t) => {
  const repo = await newRepository()
  const image = diskImage('refused', SIZE)
  const { id } = await backUp(repo, new MemorySource(image))
  for (const bad of [
    { offset: -1, length: 5 },
    { offset: 0, length: Number.NaN },
    { offset: 0.5, length: 1 },
    { offset: 2 ** 60, length: 1 },
  ])
    t.equal(
      await codeOf(backUp(repo, new MemorySource(image), { snapshot: id, extents: [bad] })),
      'ERR_INVALID_ARGUMENT',
    )
  const latest = { snapshot: 'latest', extents: [] }
  t.equal(await codeOf(backUp(repo, new MemorySource(image), latest)), 'ERR_INVALID_ARGUMENT')
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield image
  }
  const stream = new StreamSource(pieces())
  t.equal(await codeOf(backUp(repo, stream, { snapshot: id, extents: [] })), 'ERR_INVALID_ARGUMENT')
})

t.test('a forget and a prune between the two take nothing from what was taken over', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = diskImage('pruned', SIZE)
  const first = await backUp(repo, new MemorySource(image))
  const second = await backUp(repo, new MemorySource(image), { snapshot: first.id, extents: [] })
  await repo.forget(first.id)
  await repo.prune(await repo.planPrune())
  t.ok(sameBytes(await restored(repo, second.id), image))
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
})
