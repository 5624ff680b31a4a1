// Repairs of a repository: after each, every snapshot that can be whole is, and nothing wrong is ever restored.
import { Readable } from 'node:stream'
import type { PackId, ReadableStore, SnapshotId, Store, WritableStore } from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget, StreamSource } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type ByteRange, type RepairPacksOptions, Repository } from '@platter/repo'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { coarsened } from '../dist/format/damage-record.js'
import {
  backUp,
  codeOf,
  collected,
  copyOf,
  diskImage,
  newRepository,
  noise,
  objectNames,
  replaceObject,
  SETTINGS,
  sameBytes,
} from './adversity.ts'

/** The image of each snapshot: the second shares most of the first, the third nothing. */
const IMAGES: readonly Uint8Array[] = [diskImage('a'), changed(diskImage('a')), diskImage('b', 200_000)]

function changed(image: Uint8Array<ArrayBuffer>): Uint8Array {
  image.set(noise('change', 30_000), 180_224)
  return image
}

interface Victim {
  readonly store: MemoryStore
  readonly ids: readonly SnapshotId[]
}

async function victim(settings = SETTINGS): Promise<Victim> {
  const store = new MemoryStore()
  const repo = await newRepository(store, settings)
  const ids: SnapshotId[] = []
  for (const [i, image] of IMAGES.entries()) {
    const name = i < 2 ? 'shared' : 'alone'
    ids.push((await backUp(repo, image, { name })).id)
  }
  return { store, ids }
}

const VICTIM = await victim()

/** What a restore of each snapshot comes to: 'exact', 'WRONG', or the code of its error. */
async function verdicts(store: Store, ids = VICTIM.ids): Promise<string[]> {
  const repo = await Repository.open(store)
  const found: string[] = []
  for (const [i, id] of ids.entries()) {
    const target = new MemoryTarget()
    const code = await codeOf(repo.restore(id, target, { workers: 0 }))
    found.push(code !== 'success' ? code : sameBytes(target.bytes, IMAGES[i]!) ? 'exact' : 'WRONG')
  }
  return found
}

async function checkCodes(store: Store): Promise<string[]> {
  const report = await (await Repository.open(store)).check({ readData: true, workers: 0 })
  return report.findings.map(({ code }) => code)
}

async function repaired(
  store: Store,
  options: RepairPacksOptions = {},
): ReturnType<Repository['repairPacks']> {
  return await (await Repository.open(store)).repairPacks({ workers: 0, ...options })
}

/** Asserts what a partial restore gives: outside the ranges it names the image, within them zeros. */
async function assertPartial(
  t: Test,
  store: Store,
  which: number,
  ranges?: readonly ByteRange[],
): Promise<void> {
  const target = new MemoryTarget({ content: noise('used before', 400_000) })
  const repo = await Repository.open(store)
  const { damagedRanges } = await repo.restore(VICTIM.ids[which]!, target, { workers: 0, allowDamaged: true })
  if (ranges !== undefined)
    t.same(damagedRanges, ranges, 'the restore finds the ranges that the repair reported')
  const expected = IMAGES[which]!.slice()
  for (const { offset, length } of damagedRanges!) expected.fill(0, offset, offset + length)
  t.ok(sameBytes(target.bytes.subarray(0, expected.length), expected), `what is left of snapshot ${which}`)
}

/** Names of packs by what is in them, the largest first. */
async function packsOf(store: Store): Promise<string[]> {
  const names = await objectNames(store, 'packs/')
  const sizes = new Map<string, number>()
  for (const name of names) sizes.set(name, (await store.get(name)).length)
  return names.sort((a, b) => sizes.get(b)! - sizes.get(a)! || (a < b ? -1 : 1))
}

/** A pack of chunks that the first image has, all of them. Which packs are the largest depends on random cuts. */
async function packOfFirstImage(): Promise<string> {
  for (const name of (await packsOf(VICTIM.store)).slice(0, 4)) {
    const store = await copyOf(VICTIM.store)
    await store.delete(name)
    const report = await repaired(store, { from: new MemorySource(IMAGES[0]!), dryRun: true })
    if (report.blobsHealed > 0 && report.damage.length === 0) return name
  }
  throw new Error('No large pack is of the first image alone.')
}

async function flip(store: Store, name: string, at: number): Promise<void> {
  const bytes = await store.get(name)
  bytes[at < 0 ? bytes.length + at : at % bytes.length]! ^= 0x10
  await replaceObject(store, name, bytes)
}

const ALL_EXACT = ['exact', 'exact', 'exact']

test('a sound repository is left as it is', async (t) => {
  const store = await copyOf(VICTIM.store)
  const before = await objectNames(store)
  const index = await (await Repository.open(store)).repairIndex()
  t.match(index, {
    packsListed: 0,
    packsMissing: [],
    packsUnlisted: [],
    packsDamaged: [],
    segmentsWritten: 0,
  })
  t.same(index.segmentsReplaced, [])
  const packs = await repaired(store)
  t.match(packs, { packsDamaged: [], damage: [], marked: [], healed: [], segmentsWritten: 0, blobsHealed: 0 })
  t.ok(packs.packs >= 6 && packs.bytesRead > 0)
  const after = (await objectNames(store)).filter((name) => !name.startsWith('sessions/'))
  t.same(
    after,
    before.filter((name) => !name.startsWith('sessions/')),
  )
  t.same(await verdicts(store), ALL_EXACT)
})

test('the index is made from the packs alone', async (t) => {
  const store = await copyOf(VICTIM.store)
  for (const name of await objectNames(store, 'index/')) await store.delete(name)
  t.same(await verdicts(store), ['ERR_CHUNK_MISSING', 'ERR_CHUNK_MISSING', 'ERR_CHUNK_MISSING'])
  const repo = await Repository.open(store)
  const before = await objectNames(store)
  const dry = await repo.repairIndex({ dryRun: true })
  t.same(await objectNames(store), before, 'a dry run writes nothing')
  const phases = new Set<string>()
  const report = await repo.repairIndex({ progressMillis: 0, onProgress: ({ phase }) => phases.add(phase) })
  t.same([...phases], ['packs'])
  t.equal(report.packsListed, (await objectNames(store, 'packs/')).length)
  t.equal(report.segmentsWritten, 1)
  t.same({ ...dry, dryRun: false, seconds: 0 }, { ...report, seconds: 0 }, 'a dry run foretells it')
  t.same(await verdicts(store), ALL_EXACT)
  t.same(await checkCodes(store), [])
  t.equal((await backUp(repo, IMAGES[0]!)).stats.chunksNew, 0, 'and a backup knows what is there')
})

test('dry runs need no store that can be written', async (t) => {
  const store = await copyOf(VICTIM.store)
  const pack = await packOfFirstImage()
  await flip(store, pack, 5000)
  const asOther: ReadableStore = {
    label: 'read-only',
    get: (...args) => store.get(...args),
    getRange: (...args) => store.getRange(...args),
    stat: (...args) => store.stat(...args),
    list: (...args) => store.list(...args),
    close: async () => {},
  }
  await using readOnly = await Repository.open(asOther)
  await using repo = await Repository.open(store)
  const from = (): MemorySource => new MemorySource(IMAGES[0]!)
  const packs = await readOnly.repairPacks({ dryRun: true, workers: 0, from: from() })
  t.equal(packs.packsDamaged.length, 1)
  t.ok(packs.blobsHealed > 0)
  const expected = await repo.repairPacks({ dryRun: true, workers: 0, from: from() })
  t.same({ ...packs, seconds: 0 }, { ...expected, seconds: 0 })
  t.equal(await codeOf(readOnly.repairPacks({ workers: 0 })), 'ERR_STORE_UNSUPPORTED')

  for (const name of await objectNames(store, 'index/')) await store.delete(name)
  const index = await readOnly.repairIndex({ dryRun: true })
  t.equal(index.packsListed, (await objectNames(store, 'packs/')).length)
  t.equal(await codeOf(readOnly.repairIndex()), 'ERR_STORE_UNSUPPORTED')
})

test('index segments that are damaged, of another name, or lie', { timeout: 60_000 }, async (t) => {
  const names = await objectNames(VICTIM.store, 'index/')
  t.equal(names.length, 3)
  for (const [i, name] of names.entries()) {
    const bytes = await VICTIM.store.get(name)
    const other = await VICTIM.store.get(names[(i + 1) % 3]!)
    const alterations: [string, Uint8Array | undefined][] = [
      ['a bit', flipped(bytes, bytes.length >>> 1)],
      ['cut short', bytes.subarray(0, bytes.length >>> 1)],
      ['empty', new Uint8Array(0)],
      ['zeros', new Uint8Array(bytes.length)],
      ['another segment', other],
      ['gone', undefined],
    ]
    for (const [what, altered] of alterations) {
      const store = await copyOf(VICTIM.store)
      await replaceObject(store, name, altered)
      const report = await (await Repository.open(store)).repairIndex()
      t.ok(report.packsListed > 0, what)
      t.same(report.segmentsReplaced, altered === undefined ? [] : [name])
      t.same(await verdicts(store), ALL_EXACT, `${what} of segment ${i}`)
      t.same(await checkCodes(store), [])
    }
  }
})

test('a segment that says other things than the packs is replaced', async (t) => {
  const { encodeIndexSegment, decodeIndexSegment } = await import('../dist/format/index-segment.js')
  const { packsOf: listed } = await import('../dist/repair/index-segments.js')
  const { plainRecords } = await import('@platter/core')
  const [name] = await objectNames(VICTIM.store, 'index/')
  const packs = listed(decodeIndexSegment(name!, await VICTIM.store.get(name!), plainRecords), () => true)
  const [first, ...others] = packs
  const lies: [string, typeof packs][] = [
    ['a blob too few', [{ ...first!, entries: first!.entries.slice(1) }, ...others]],
    ['another length', [{ ...first!, fileBytes: first!.fileBytes + 1 }, ...others]],
    [
      'another place',
      [
        {
          ...first!,
          entries: first!.entries.map((e, i) =>
            i === 0 ? { ...e, offset: e.offset + 1, storedBytes: e.storedBytes - 1, codec: 1 as const } : e,
          ),
        },
        ...others,
      ],
    ],
    ['a pack that is not there', [{ ...first!, id: 'ab'.repeat(32) as PackId }, ...packs]],
  ]
  for (const [what, lie] of lies) {
    const store = await copyOf(VICTIM.store)
    await replaceObject(store, name!, Buffer.concat(encodeIndexSegment(name!, lie, plainRecords)))
    t.ok((await checkCodes(store)).length > 0, `${what}: the check finds it`)
    const report = await (await Repository.open(store)).repairIndex()
    t.same(report.segmentsReplaced, [name], what)
    t.equal(report.packsListed, packs.length, what)
    t.equal(report.packsMissing.length, what === 'a pack that is not there' ? 1 : 0)
    t.same(await verdicts(store), ALL_EXACT, what)
    t.same(await checkCodes(store), [], what)
  }
})

test('packs whose directory is damaged', async (t) => {
  const store = await copyOf(VICTIM.store)
  const [name] = await packsOf(store)
  await flip(store, name!, -70)
  const repo = await Repository.open(store)
  t.match(await repo.repairIndex(), {
    packsDamaged: [{ object: name }],
    packsUnlisted: [],
    segmentsReplaced: [],
  })
  t.same(await verdicts(store), ALL_EXACT, 'the index has what the directory had')
  const report = await repaired(store)
  t.equal(report.packsDamaged.length, 1)
  t.match(report.packsDamaged[0], { object: name, blobsLost: 0 })
  t.same(report.damage, [])
  t.same(await verdicts(store), ALL_EXACT)
  t.same(await checkCodes(store), [], 'what is put aside is no finding any more')

  const without = await copyOf(VICTIM.store)
  await flip(without, name!, -70)
  for (const segment of await objectNames(without, 'index/')) await without.delete(segment)
  const found = await (await Repository.open(without)).repairIndex()
  t.match(found, { packsUnlisted: [{ object: name, message: /directory/ }], packsDamaged: [] })
  t.ok((await verdicts(without)).every((verdict) => verdict !== 'WRONG'))
})

test('intact blobs of a damaged pack are saved, and what is lost is told', { timeout: 60_000 }, async (t) => {
  for (const name of await packsOf(VICTIM.store)) {
    const { length } = await VICTIM.store.get(name)
    const damages: [string, (store: Store) => Promise<void>][] = [
      ['a bit', (store) => flip(store, name, 3000 % (length - 200))],
      [
        'cut short',
        async (store) => replaceObject(store, name, (await store.get(name)).subarray(0, length >>> 1)),
      ],
      ['gone', (store) => replaceObject(store, name, undefined)],
      ['zeros', (store) => replaceObject(store, name, new Uint8Array(length))],
    ]
    for (const [what, damage] of damages) {
      const store = await copyOf(VICTIM.store)
      await damage(store)
      const before = await verdicts(store)
      const dry = await repaired(store, { dryRun: true })
      const report = await repaired(store)
      const label = `${what} of ${name}`
      t.same(dry.damage, report.damage, 'a dry run foretells it')
      t.same(dry.packsDamaged, report.packsDamaged)
      t.equal(report.packsDamaged.length, 1, label)
      const after = await verdicts(store)
      const damagedIds = report.damage.map(({ snapshot }) => snapshot)
      for (const [i, id] of VICTIM.ids.entries()) {
        t.not(before[i], 'WRONG')
        t.equal(
          after[i],
          damagedIds.includes(id) ? 'ERR_SNAPSHOT_DAMAGED' : 'exact',
          `${label}: snapshot ${i}`,
        )
        if (before[i] === 'exact') t.equal(after[i], 'exact', `${label}: what was whole stays whole`)
      }
      t.same([...report.marked].sort(), [...damagedIds].sort())
      t.notOk((await checkCodes(store)).includes('ERR_SNAPSHOT_DAMAGED'), `${label}: no mark is out of date`)
      const marks = await (await Repository.open(store)).damagedSnapshots()
      t.same([...marks.keys()].sort(), [...damagedIds].sort())
      for (const { snapshot, ranges } of report.damage) {
        t.same(marks.get(snapshot), ranges)
        await assertPartial(t, store, VICTIM.ids.indexOf(snapshot), ranges)
      }
      if (what === 'a bit') t.ok(report.packsDamaged[0]!.blobsLost <= 1, 'one bit costs one blob at most')
      const again = await repaired(store)
      t.match(
        again,
        { packsDamaged: [], marked: [], healed: [], segmentsReplaced: [] },
        `${label}: once is enough`,
      )
      t.same(again.damage, report.damage)

      // The next backup of the same image stores anew what was lost, and a repair then finds the snapshot whole.
      await backUp(await Repository.open(store), IMAGES[0]!, { name: 'again' })
      await backUp(await Repository.open(store), IMAGES[1]!, { name: 'again' })
      await backUp(await Repository.open(store), IMAGES[2]!, { name: 'again' })
      // Whole again, and still marked: a check that reads everything says so, and of those alone.
      const looking = await Repository.open(store)
      const { findings } = await looking.check({ readData: true, workers: 0 })
      const outdated = findings.filter(({ code }) => code === 'ERR_SNAPSHOT_DAMAGED')
      t.same(outdated.flatMap(({ snapshots }) => snapshots).sort(), [...damagedIds].sort())
      t.same((await looking.check()).findings, [], 'one that does not cannot tell')
      const healed = await repaired(store)
      t.same(healed.damage, [])
      t.notOk((await checkCodes(store)).includes('ERR_SNAPSHOT_DAMAGED'))
      t.same([...healed.healed].sort(), [...damagedIds].sort())
      t.same(await verdicts(store), ALL_EXACT, `${label}: healed by a backup`)
    }
  }
})

test('healed from the disk itself', { timeout: 60_000 }, async (t) => {
  for (const name of await packsOf(VICTIM.store)) {
    const store = await copyOf(VICTIM.store)
    await replaceObject(store, name, undefined)
    for (const image of IMAGES) await repaired(store, { from: new MemorySource(image) })
    t.same(await verdicts(store), ALL_EXACT)
    t.same(await checkCodes(store), [])
    t.same([...(await (await Repository.open(store)).damagedSnapshots()).keys()], [])
  }
  const store = await copyOf(VICTIM.store)
  for (const name of await objectNames(store, 'packs/')) await store.delete(name)
  const first = await repaired(store, { from: new MemorySource(IMAGES[0]!) })
  t.ok(first.blobsHealed > 5 && first.bytesHealed > 100_000)
  t.same(first.damage.map(({ snapshot }) => snapshot).sort(), VICTIM.ids.slice(1).toSorted())
  t.same(await verdicts(store), ['exact', 'ERR_SNAPSHOT_DAMAGED', 'ERR_SNAPSHOT_DAMAGED'])
  await assertPartial(t, store, 1)
  const dry = await repaired(store, { from: new MemorySource(IMAGES[1]!), dryRun: true })
  const second = await repaired(store, { from: new MemorySource(IMAGES[1]!) })
  t.same(dry.damage, second.damage)
  t.equal(dry.blobsHealed, second.blobsHealed)
  t.same(second.healed, [VICTIM.ids[1]])
  t.same(await verdicts(store), ['exact', 'exact', 'ERR_SNAPSHOT_DAMAGED'])
})

test('what has moved on the disk is found by cutting it', async (t) => {
  const store = await copyOf(VICTIM.store)
  const name = await packOfFirstImage()
  await replaceObject(store, name, undefined)
  // The same data one block further on; the ranges do not fit, the cuts do.
  const moved = new Uint8Array(IMAGES[0]!.length + 65_536)
  moved.set(noise('in front', 65_536))
  moved.set(IMAGES[0]!, 65_536)
  const report = await repaired(store, { from: new MemorySource(moved) })
  t.ok(report.blobsHealed > 0)
  t.same(report.damage, [])
  t.same(await verdicts(store), ALL_EXACT)
})

test('a source that does not help does no harm', async (t) => {
  const store = await copyOf(VICTIM.store)
  const [name] = await packsOf(store)
  await replaceObject(store, name!, undefined)
  const report = await repaired(store, { from: new MemorySource(noise('another disk', 400_000)) })
  t.equal(report.blobsHealed, 0)
  t.ok(report.damage.length > 0)
  t.ok((await verdicts(store)).every((verdict) => verdict === 'exact' || verdict === 'ERR_SNAPSHOT_DAMAGED'))
  const stream = new StreamSource(Readable.from([Buffer.from('x')]), { label: 'pipe' })
  t.equal(await codeOf(repaired(store, { from: stream })), 'ERR_SOURCE_UNSUPPORTED')
  await using empty = new MemorySource(new Uint8Array(0))
  t.same((await repaired(store, { from: empty })).damage, report.damage)
})

test('healed from a second repository, and from a copy of this one', { timeout: 60_000 }, async (t) => {
  const otherStore = new MemoryStore()
  // Cut in another way, under other keys: nothing but the bytes of the images is the same.
  const chunker = { kind: 'fastcdc', minBytes: 2048, averageBytes: 8192, maxBytes: 32768 } as const
  const other = await newRepository(otherStore, { ...SETTINGS, chunker, regionBytes: 128 * 1024 })
  for (const [i, image] of IMAGES.entries()) await backUp(other, image, { name: i < 2 ? 'shared' : 'alone' })
  await backUp(other, noise('unrelated', 50_000), { name: 'unrelated' })
  const copy = await Repository.open(await copyOf(VICTIM.store))
  const packs = await packsOf(VICTIM.store)
  for (const [what, from] of [
    ['another', other],
    ['a copy', copy],
  ] as const) {
    for (const gone of [packs.slice(0, 1), packs.slice(-1), packs]) {
      const store = await copyOf(VICTIM.store)
      for (const name of gone) await store.delete(name)
      const report = await repaired(store, { from })
      t.ok(report.blobsHealed > 0, what)
      t.same(report.damage, [], `${what}: ${gone.length} packs`)
      t.same(await verdicts(store), ALL_EXACT, what)
      t.same(await checkCodes(store), [])
    }
  }
  // The other one is damaged, too: what it still has helps.
  for (const name of (await packsOf(otherStore)).slice(0, 2)) await flip(otherStore, name, 5000)
  const store = await copyOf(VICTIM.store)
  for (const name of packs.slice(0, 4)) await store.delete(name)
  const report = await repaired(store, { from: other })
  t.ok(report.blobsHealed > 0)
  t.ok((await verdicts(store)).every((verdict) => verdict !== 'WRONG'))
  for (const { snapshot, ranges } of report.damage)
    await assertPartial(t, store, VICTIM.ids.indexOf(snapshot), ranges)
})

test('chunks that do not end on blocks', async (t) => {
  const chunker = { kind: 'fastcdc', minBytes: 2048, averageBytes: 8192, maxBytes: 32768 } as const
  const { store, ids } = await victim({ ...SETTINGS, chunker })
  const names = await packsOf(store)
  for (const name of names.slice(0, 3)) await flip(store, name, 20_000)
  const { damage } = await repaired(store)
  t.ok(damage.length > 0)
  const repo = await Repository.open(store)
  for (const { snapshot, ranges } of damage) {
    t.ok(ranges.some(({ offset, length }) => offset % 4096 !== 0 || length % 4096 !== 0))
    const target = new MemoryTarget({ content: noise('used before', 400_000) })
    const { damagedRanges } = await repo.restore(snapshot, target, { workers: 0, allowDamaged: true })
    t.same(damagedRanges, ranges)
    const expected = IMAGES[ids.indexOf(snapshot)]!.slice()
    for (const { offset, length } of ranges) expected.fill(0, offset, offset + length)
    t.ok(sameBytes(target.bytes.subarray(0, expected.length), expected))
  }
  for (const image of IMAGES) await repaired(store, { from: new MemorySource(image) })
  t.same(await verdicts(store, ids), ALL_EXACT)
})

test('a pack in quarantine is used again when an intact copy is put back', async (t) => {
  const store = await copyOf(VICTIM.store)
  const [name] = await packsOf(store)
  const bytes = await store.get(name!)
  await replaceObject(store, name!, bytes.subarray(0, 100))
  t.ok((await repaired(store)).damage.length > 0)
  t.same(await objectNames(store, 'quarantine/'), [`quarantine/${name!.slice(9)}`])
  t.same(await store.get(name!), bytes.subarray(0, 100), 'the damaged pack stays')
  t.equal((await (await Repository.open(store)).repairIndex()).packsListed, 0, 'damaged, it is not listed')
  await replaceObject(store, name!, bytes)
  const alone = await copyOf(store)
  t.ok((await repaired(alone)).healed.length > 0, 'without a repair of the index, too')
  t.same(await verdicts(alone), ALL_EXACT)
  t.equal((await (await Repository.open(store)).repairIndex()).packsListed, 1)
  const report = await repaired(store)
  t.ok(report.healed.length > 0)
  t.same(await verdicts(store), ALL_EXACT)
  t.same(await checkCodes(store), [])
})

test('a store that cannot remove objects', async (t) => {
  const store = await copyOf(VICTIM.store)
  const name = await packOfFirstImage()
  const segment = (await objectNames(store, 'index/'))[0]!
  await flip(store, segment, 500)
  const repo = await Repository.open(withoutDelete(store))
  t.equal(await codeOf(repo.repairPacks({ workers: 0 })), 'ERR_CORRUPT_INDEX', 'the index comes first')
  t.same((await repo.repairIndex()).segmentsLeft, [segment])
  await store.delete(segment)
  await flip(store, name, 2000)
  const report = await repo.repairPacks({ workers: 0, from: new MemorySource(IMAGES[0]!) })
  t.equal(report.segmentsLeft.length, 1)
  t.same(report.segmentsLeft, report.segmentsReplaced)
  t.ok((await objectNames(store, 'index/')).includes(report.segmentsLeft[0]!))
  t.same(report.damage, [])
})

function withoutDelete(store: MemoryStore): WritableStore {
  return {
    label: store.label,
    get: store.get.bind(store),
    getRange: store.getRange.bind(store),
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    putIfAbsent: store.putIfAbsent.bind(store),
    close: store.close.bind(store),
  }
}

test('what only the index has lost is not taken for lost', async (t) => {
  for (const lost of await objectNames(VICTIM.store, 'index/')) {
    const store = await copyOf(VICTIM.store)
    await store.delete(lost)
    const planned = await (await Repository.open(store)).repairPacks({ workers: 0, dryRun: true })
    t.same([planned.damage, planned.marked], [[], []])
    t.same((await repaired(store)).damage, [])
    t.same(await objectNames(store, 'damage/'), [])
    t.same(await verdicts(store), ALL_EXACT)
    t.same(await checkCodes(store), [])
  }
})

test('what is not for a repair to decide', async (t) => {
  const foreign = await copyOf(VICTIM.store)
  const another = new MemoryStore()
  await newRepository(another)
  await replaceObject(foreign, 'config', await another.get('config'))
  const untouched = await objectNames(foreign, 'index/')
  t.equal(
    await codeOf(repaired(foreign)),
    'ERR_CORRUPT_CONFIG',
    'with the config of another, all seems damaged',
  )
  t.same(await objectNames(foreign, 'index/'), untouched)
  t.same(await objectNames(foreign, 'damage/'), [])
  const faulty = new FaultStore(await copyOf(VICTIM.store))
  faulty.inject({ operation: 'get', name: /^packs\//, nth: 3, fault: { kind: 'error' } })
  const before = await objectNames(faulty)
  t.equal(await codeOf(repaired(faulty)), 'ERR_STORE_IO', 'what cannot be read is not taken for damaged')
  const written = (await objectNames(faulty)).filter((name) => !before.includes(name))
  t.ok(written.every((name) => name.startsWith('sessions/')))
  const fenced = await copyOf(VICTIM.store)
  await flip(fenced, (await objectNames(fenced, 'index/'))[0]!, 500)
  const fencing = new FaultStore(fenced)
  const putting = (await Repository.open(fencing)).repairIndex({
    progressMillis: 0,
    onProgress: () => {
      const [session] = fencing.log
        .filter(({ name }) => name.startsWith('sessions/'))
        .map(({ name }) => name.split('/')[1])
      if (session !== undefined) void fenced.putIfAbsent(`snapshots/${session}`, [Buffer.from('x')])
    },
  })
  t.equal(await codeOf(putting), 'ERR_SESSION_FENCED')
  await using open = await Repository.open(await copyOf(VICTIM.store))
  const aborted = AbortSignal.abort(new Error('enough'))
  t.match(await codeOf(open.repairIndex({ signal: aborted })), 'enough')
  t.match(await codeOf(open.repairPacks({ signal: aborted, workers: 0 })), 'enough')
})

test('snapshots that cannot be read are told, and others repaired', async (t) => {
  const store = await copyOf(VICTIM.store)
  await flip(store, `snapshots/${VICTIM.ids[2]}`, 100)
  const name = await packOfFirstImage()
  await flip(store, name, 2000)
  const report = await repaired(store, { from: new MemorySource(IMAGES[0]!) })
  t.match(report.unreadableSnapshots, [
    { code: 'ERR_CORRUPT_SNAPSHOT', object: `snapshots/${VICTIM.ids[2]}` },
  ])
  t.same((await verdicts(store)).slice(0, 2), ['exact', 'exact'])
})

test('marks', async (t) => {
  const store = await copyOf(VICTIM.store)
  const names = await packsOf(store)
  for (const name of names) await store.delete(name)
  const record = await store.get(`snapshots/${VICTIM.ids[0]}`)
  const report = await repaired(store)
  t.same(report.damage.find(({ snapshot }) => snapshot === VICTIM.ids[0])?.ranges, [
    { offset: 0, length: 300_001 },
  ])
  t.same(await store.get(`snapshots/${VICTIM.ids[0]}`), record, 'a snapshot is never altered')
  t.equal((await collected((await Repository.open(store)).snapshots())).length, 3)
  const marks = await objectNames(store, 'damage/')
  t.same(marks, VICTIM.ids.map((id) => `damage/${id}/000000`).sort())
  // An unreadable mark hides nothing: the restore finds out by itself, and the next repair writes another.
  const warnings: string[] = []
  await flip(store, `damage/${VICTIM.ids[0]}/000000`, 20)
  const repo = await Repository.open(store, { onWarning: ({ code }) => warnings.push(code) })
  t.equal(await codeOf(repo.restore(VICTIM.ids[0]!, new MemoryTarget(), { workers: 0 })), 'ERR_CHUNK_MISSING')
  t.same(warnings, ['ERR_CORRUPT_RECORD'])
  t.ok((await checkCodes(store)).includes('ERR_CORRUPT_RECORD'))
  t.same((await repaired(store)).marked, [VICTIM.ids[0]])
  t.ok((await objectNames(store, 'damage/')).includes(`damage/${VICTIM.ids[0]}/000001`))
  t.equal(
    await codeOf(
      repo.restore('latest', new MemoryTarget(), { workers: 0, allowDamaged: true, onlyDifferent: true }),
    ),
    'ERR_INVALID_ARGUMENT',
  )
  const ranges = [0, 10, 100, 105, 300].map((offset) => ({ offset, length: 2 }))
  t.same(coarsened(ranges, 5), ranges)
  t.same(coarsened(ranges, 3), [
    { offset: 0, length: 12 },
    { offset: 100, length: 7 },
    { offset: 300, length: 2 },
  ])
  t.same(coarsened(ranges, 1), [{ offset: 0, length: 302 }])
})

test('a repair that dies at any call to the store, and is run again', { timeout: 200_000 }, async (t) => {
  const damaged = await copyOf(VICTIM.store)
  const packs = await packsOf(damaged)
  await flip(damaged, packs[0]!, 2000)
  await damaged.delete(packs[1]!)
  await flip(damaged, packs.at(-1)!, -100)
  const spoilt = await copyOf(damaged)
  await flip(spoilt, (await objectNames(spoilt, 'index/'))[1]!, 300)

  const attempts: [string, MemoryStore, (store: Store) => Promise<unknown>][] = [
    ['index', spoilt, async (store) => (await Repository.open(store)).repairIndex()],
    ['packs', damaged, (store) => repaired(store)],
    ['packs from a source', damaged, (store) => repaired(store, { from: new MemorySource(IMAGES[0]!) })],
  ]
  for (const [what, start, attempt] of attempts) {
    const expected = await copyOf(start)
    await attempt(expected)
    const wanted = await verdicts(expected)
    for (const when of ['before', 'after'] as const) {
      for (let operations = 1; ; operations++) {
        const inner = await copyOf(start)
        const store = new FaultStore(inner)
        const counting = what === 'index' ? 'all' : 'changes'
        store.crashAt({ afterOperations: operations - 1, when, counting })
        const code = await codeOf(attempt(store))
        if (!store.crashed) {
          t.equal(code, 'success')
          t.ok(operations > 4, `${what}: ${operations} operations`)
          break
        }
        const between = await verdicts(inner)
        const before = await verdicts(start)
        for (const [i, verdict] of between.entries()) {
          if (verdict === 'WRONG')
            t.fail(`${what}, operation ${operations} ${when}: snapshot ${i} restores wrong`)
          if (before[i] === 'exact' && verdict !== 'exact')
            t.fail(`${what}, operation ${operations} ${when}: snapshot ${i} was whole and is ${verdict}`)
        }
        await attempt(inner)
        const after = await verdicts(inner)
        if (after.join() !== wanted.join())
          t.fail(
            `${what}, operation ${operations} ${when}: ${after.join()} where ${wanted.join()} was expected`,
          )
        if (what !== 'index' && wanted.every((verdict) => verdict === 'exact'))
          t.same(await checkCodes(inner), [])
      }
    }
  }
})

test('random damage: what can be whole is, and nothing is wrong', { timeout: 200_000 }, async (t) => {
  const names = (await objectNames(VICTIM.store)).filter((name) => /^(packs|index)\//.test(name))
  const damage = fc.record({
    name: fc.constantFrom(...names),
    how: fc.constantFrom('flip', 'cut', 'zero', 'gone', 'swap'),
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    other: fc.constantFrom(...names),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(damage, { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      async (damages, heal) => {
        const store = await copyOf(VICTIM.store)
        for (const { name, how, at, other } of damages) {
          const bytes = await store.get(name).catch(() => undefined)
          if (bytes === undefined) continue
          const place = Math.floor(at * bytes.length)
          if (how === 'flip' && bytes.length > 0) bytes[place]! ^= 1
          if (how === 'zero') bytes.fill(0, place, place + 3000)
          const altered =
            how === 'gone'
              ? undefined
              : how === 'cut'
                ? bytes.subarray(0, place)
                : how === 'swap'
                  ? await VICTIM.store.get(other)
                  : bytes
          await replaceObject(store, name, altered)
        }
        const before = await verdicts(store)
        await (await Repository.open(store)).repairIndex()
        const report = await repaired(store)
        const after = await verdicts(store)
        const damaged = report.damage.map(({ snapshot }) => snapshot)
        for (const [i, id] of VICTIM.ids.entries()) {
          if (before[i] === 'WRONG' || (before[i] === 'exact' && after[i] !== 'exact')) return false
          if (after[i] !== (damaged.includes(id) ? 'ERR_SNAPSHOT_DAMAGED' : 'exact')) return false
        }
        for (const { snapshot, ranges } of report.damage)
          await assertPartial(t, store, VICTIM.ids.indexOf(snapshot), ranges)
        if (heal) {
          for (const image of IMAGES) await repaired(store, { from: new MemorySource(image) })
          if ((await verdicts(store)).join() !== ALL_EXACT.join()) return false
          if ((await checkCodes(store)).length > 0) return false
        }
        return true
      },
    ),
    { numRuns: 60 },
  )
  t.pass('for 60 repositories')
})

test('with worker threads', async (t) => {
  const store = await copyOf(VICTIM.store)
  for (const name of (await packsOf(store)).slice(0, 2)) await flip(store, name, 3000)
  const report = await repaired(store, { workers: 2, from: new MemorySource(IMAGES[0]!) })
  t.equal(report.packsDamaged.length, 2)
  for (const image of IMAGES.slice(1)) await repaired(store, { from: new MemorySource(image) })
  t.same(await verdicts(store), ALL_EXACT)
})

test('an encrypted repository', { timeout: 60_000 }, async (t) => {
  const keyFile = noise('key', 64)
  const encrypted = async (
    packs: number,
  ): Promise<{ store: MemoryStore; repo: Repository; ids: SnapshotId[] }> => {
    const store = new MemoryStore()
    const { crypto: _, ...settings } = SETTINGS
    await Repository.init(store, { ...settings, packBytes: packs, keyFile })
    const repo = await Repository.open(store, { keyFile })
    const ids: SnapshotId[] = []
    for (const [i, image] of IMAGES.entries())
      ids.push((await backUp(repo, image, { name: i < 2 ? 'shared' : 'alone' })).id)
    return { store, repo, ids }
  }
  const { store, ids } = await encrypted(64 * 1024)
  const second = await encrypted(128 * 1024)
  const packs = await packsOf(store)
  const open = async (of: Store): Promise<Repository> => await Repository.open(of, { keyFile })
  const codes = async (repo: Repository): Promise<string[]> => {
    const found: string[] = []
    for (const [i, id] of ids.entries()) {
      const target = new MemoryTarget()
      const code = await codeOf(repo.restore(id, target, { workers: 0 }))
      found.push(code !== 'success' ? code : sameBytes(target.bytes, IMAGES[i]!) ? 'exact' : 'WRONG')
    }
    return found
  }
  const ways: [string, RepairPacksOptions['from']][] = [
    ['nothing', undefined],
    ['a disk', new MemorySource(IMAGES[0]!)],
    ['another repository', second.repo],
    ['a copy', await open(await copyOf(store))],
  ]
  for (const [what, from] of ways) {
    const damaged = await copyOf(store)
    await flip(damaged, packs[0]!, 2000)
    await flip(damaged, packs[1]!, 40)
    await flip(damaged, packs[2]!, -100)
    await damaged.delete((await objectNames(damaged, 'index/'))[1]!)
    const repo = await open(damaged)
    const index = await repo.repairIndex()
    t.ok(index.packsListed > 0)
    const { damage, packsDamaged } = await repo.repairPacks({ workers: 0, ...(from && { from }) })
    t.ok(
      packsDamaged.some(({ blobsSalvaged }) => blobsSalvaged > 0),
      what,
    )
    const after = await codes(await open(damaged))
    for (const [i, id] of ids.entries()) {
      const isDamaged = damage.some(({ snapshot }) => snapshot === id)
      t.equal(after[i], isDamaged ? 'ERR_SNAPSHOT_DAMAGED' : 'exact', `${what}: snapshot ${i}`)
    }
    if (what === 'a copy' || what === 'another repository') t.same(damage, [], what)
    for (const image of IMAGES) await repo.repairPacks({ workers: 0, from: new MemorySource(image) })
    t.same(await codes(await open(damaged)), ALL_EXACT, what)
    t.same((await (await open(damaged)).check({ readData: true, workers: 0 })).findings, [])
  }
  for (const name of await objectNames(store, 'index/')) await store.delete(name)
  await (await open(store)).repairIndex()
  t.same(await codes(await open(store)), ALL_EXACT, 'the index from encrypted packs alone')
})

test('parts of a check cover every pack once, and a drill restores', async (t) => {
  const { store } = VICTIM
  const repo = await Repository.open(store)
  const all = await repo.check({ readData: true, workers: 0 })
  for (const of of [1, 2, 3, 7, 50]) {
    let packs = 0
    let bytes = 0
    for (let part = 1; part <= of; part++) {
      const report = await repo.check({ readData: { part, of }, workers: 0 })
      packs += report.packsRead
      bytes += report.bytesRead
    }
    t.equal(packs, all.packs, `in ${of} parts`)
    t.equal(bytes, all.bytesRead)
  }
  for (const readData of [
    { part: 0, of: 2 },
    { part: 3, of: 2 },
    { part: 1, of: 0 },
    { part: 1.5, of: 2 },
    { fraction: 2 },
    { fraction: -1 },
  ])
    t.equal(
      await codeOf(repo.check({ readData, workers: 0 })),
      'ERR_INVALID_ARGUMENT',
      JSON.stringify(readData),
    )
  const phases = new Set<string>()
  const drilled = await repo.check({
    drill: 'latest:shared',
    workers: 0,
    progressMillis: 0,
    onProgress: ({ phase }) => phases.add(phase),
  })
  t.match(drilled, { findings: [], drilled: VICTIM.ids[1] })
  t.ok(phases.has('drill'))
  t.equal((await repo.check({ workers: 0 })).drilled, undefined)
  t.equal(await codeOf(repo.check({ drill: 'ffffffff', workers: 0 })), 'ERR_SNAPSHOT_NOT_FOUND')
  const damaged = await copyOf(store)
  for (const name of (await packsOf(damaged)).slice(0, 3)) await flip(damaged, name, 3000)
  const { findings } = await (await Repository.open(damaged)).check({ drill: VICTIM.ids[0]!, workers: 0 })
  t.match(findings, [{ code: 'ERR_CORRUPT_BLOB', message: /drill/, snapshots: [VICTIM.ids[0]] }])
})

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const altered = bytes.slice()
  altered[at]! ^= 0x10
  return altered
}
