import {
  decodeRecord,
  encodeRecord,
  openRecord,
  PlatterError,
  plainRecords,
  RECORD_TYPE,
  type RecordType,
  type RecordValue,
  type SnapshotId,
  sealRecord,
} from '@platter/core'
import { MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { type CheckReport, Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { PackChecker } from '../dist/check/check-pack.js'
import { decodeConfig } from '../dist/config/config-record.js'
import type { RepositoryConfig } from '../dist/config/repository-config.js'
import { deriveRepositoryKeys } from '../dist/config/repository-keys.js'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { decodeSnapshot } from '../dist/format/snapshot-record.js'
import {
  backUp,
  codeOf,
  codeOfCall,
  copyOf,
  diskImage,
  listed,
  newRepository,
  noise,
  objectNames,
  replaceObject,
  restored,
  sameBytes,
  sourceFrom,
  targetFrom,
} from './adversity.ts'

const REGION_BYTES = 64 * 1024
/** So many regions that the tree has two levels above its leaves. */
const SIZE_BYTES = 1100 * REGION_BYTES + 5000

interface Piece {
  readonly offset: number
  readonly bytes: Uint8Array
}

const END = 1090 * REGION_BYTES
/** A hole that only reading finds. */
const ZERO_BYTES = 300_000

/** What is not known to be zero in the image of each snapshot. */
const IMAGES: readonly (readonly Piece[])[] = [1, 2].map((version) => [
  { offset: 0, bytes: noise('start', 150_000) },
  { offset: 600 * REGION_BYTES + 4096, bytes: noise(`middle ${version}`, 90_000) },
  { offset: END, bytes: noise(`end ${version}`, SIZE_BYTES - END).fill(0, 40_000, 40_000 + ZERO_BYTES) },
])

function fill(into: Uint8Array, offset: number, pieces: readonly Piece[]): Uint8Array {
  into.fill(0)
  for (const { offset: start, bytes } of pieces) {
    const from = Math.max(offset, start)
    const to = Math.min(offset + into.length, start + bytes.length)
    if (from < to) into.set(bytes.subarray(from - start, to - start), from - offset)
  }
  return into
}

interface Victim {
  readonly store: MemoryStore
  readonly snapshots: readonly SnapshotId[]
}

/** A repository of several packs, two index segments and two snapshots. */
async function victim(): Promise<Victim> {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const snapshots: SnapshotId[] = []
  for (const [i, pieces] of IMAGES.entries()) {
    const source = sourceFrom({
      extents: () =>
        listed([
          { offset: 0, length: 200_000, kind: 'data' },
          { offset: 200_000, length: 600 * REGION_BYTES - 200_000, kind: 'hole' },
          { offset: 600 * REGION_BYTES, length: 2 * REGION_BYTES, kind: 'data' },
          { offset: 602 * REGION_BYTES, length: 488 * REGION_BYTES, kind: 'unused' },
          { offset: END, length: SIZE_BYTES - END, kind: 'data' },
        ]),
      read: async (offset, into) => fill(into, offset, pieces).length,
      info: { sizeBytes: SIZE_BYTES },
    })
    snapshots.push((await repo.backup(source, { name: `disk ${i}`, workers: 0 })).id)
  }
  return { store, snapshots }
}

const VICTIM = await victim()

/** Restores a snapshot and says 'exact', 'WRONG', or the code of the error. */
async function restoreVerdict(repo: Repository, which: number): Promise<string> {
  const pieces = IMAGES[which]!
  let covered = 0
  let wrong = false
  const target = targetFrom({
    prepare: async (imageBytes) => {
      wrong ||= imageBytes !== SIZE_BYTES
      return { blank: true }
    },
    write: async (offset, data) => {
      wrong ||= !sameBytes(data, fill(new Uint8Array(data.length), offset, pieces))
      covered += pieces.reduce(
        (sum, { offset: start, bytes }) =>
          sum + Math.max(0, Math.min(offset + data.length, start + bytes.length) - Math.max(offset, start)),
        0,
      )
    },
    zero: async () => {},
    flush: async () => {},
  })
  const code = await codeOf(repo.restore(VICTIM.snapshots[which]!, target, { workers: 0 }))
  if (code !== 'success') return code
  // What is not written stays zero, so nothing but the zeros within the last piece may be missing.
  const wanted = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0)
  return wrong || covered < wanted - ZERO_BYTES ? 'WRONG' : 'exact'
}

/** Reads all that is not zero through an open image. */
async function imageVerdict(repo: Repository, which: number): Promise<string> {
  let wrong = false
  const read = async (): Promise<void> => {
    const image = await repo.openImage(VICTIM.snapshots[which]!)
    for (const { offset, bytes } of IMAGES[which]!)
      wrong ||= !sameBytes(await image.read(offset, bytes.length), bytes)
  }
  const code = await codeOf(read())
  return code !== 'success' ? code : wrong ? 'WRONG' : 'exact'
}

const TYPED =
  /^ERR_(CORRUPT_\w+|CHUNK_MISSING|NOT_FOUND|DIGEST_MISMATCH|UNSUPPORTED_\w+|SNAPSHOT_NOT_FOUND|STORE_IO)$/

/** A copy of the victim with one object altered, and what each look at it says. */
async function examine(
  t: Test,
  what: string,
  alter: (store: MemoryStore) => Promise<void>,
  how: 'restore' | 'read',
): Promise<{ readonly report: CheckReport; readonly verdicts: string[] } | undefined> {
  await alter(SCRATCH)
  try {
    const repo = await Repository.open(SCRATCH)
    const report = await repo.check({ readData: true, workers: 0 })
    const verdicts: string[] = []
    for (const which of IMAGES.keys()) {
      const verdict = how === 'restore' ? await restoreVerdict(repo, which) : await imageVerdict(repo, which)
      verdicts.push(verdict)
      if (verdict !== 'exact' && !TYPED.test(verdict)) t.fail(`${what}: snapshot ${which} is ${verdict}`)
    }
    return { report, verdicts }
  } catch (error) {
    t.fail(`${what}: ${error instanceof PlatterError ? error.code : String(error)}`)
    return undefined
  }
}

/** Altered and put back, rather than copied each time. */
const SCRATCH = await copyOf(VICTIM.store)

async function withObject(
  name: string,
  bytes: Uint8Array | undefined,
  work: (alter: (store: MemoryStore) => Promise<void>) => Promise<void>,
): Promise<void> {
  try {
    await work((store) => replaceObject(store, name, bytes))
  } finally {
    await replaceObject(SCRATCH, name, await VICTIM.store.get(name))
  }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const altered = bytes.slice()
  altered[bit >>> 3]! ^= 1 << (bit & 7)
  return altered
}

test('the victim is as these tests need it', async (t) => {
  const repo = await Repository.open(VICTIM.store)
  t.ok((await objectNames(VICTIM.store, 'packs/')).length >= 6)
  t.equal((await objectNames(VICTIM.store, 'index/')).length, 2)
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  for (const which of IMAGES.keys()) {
    t.equal(await restoreVerdict(repo, which), 'exact')
    t.equal(await imageVerdict(repo, which), 'exact')
  }
})

test('every bit of the config, and every length of it', { timeout: 60_000 }, async (t) => {
  const bytes = await VICTIM.store.get('config')
  const code = async (altered: Uint8Array): Promise<string> => {
    const store = new MemoryStore()
    await store.putIfAbsent('config', [altered])
    return await codeOf(Repository.open(store))
  }
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const found = await code(flipped(bytes, bit))
    if (found !== 'ERR_CORRUPT_CONFIG') t.fail(`bit ${bit}: ${found}`)
  }
  for (let length = 0; length < bytes.length; length++) {
    const found = await code(bytes.subarray(0, length))
    if (found !== 'ERR_CORRUPT_CONFIG') t.fail(`${length} bytes: ${found}`)
  }
  t.equal(await code(new Uint8Array([...bytes, 0])), 'ERR_CORRUPT_CONFIG', 'a byte more')
  t.equal(await code(new Uint8Array(bytes.length)), 'ERR_CORRUPT_CONFIG', 'zeros')
  t.equal(await code(new Uint8Array(17 << 20)), 'ERR_LIMIT_EXCEEDED', 'far too long')
  t.equal(await code(await VICTIM.store.get(`snapshots/${VICTIM.snapshots[0]}`)), 'ERR_CORRUPT_CONFIG')
  const other = new MemoryStore()
  await newRepository(other)
  await replaceObject(SCRATCH, 'config', await other.get('config'))
  const wrong = await Repository.open(SCRATCH)
  for (const which of IMAGES.keys())
    t.match(await restoreVerdict(wrong, which), TYPED, 'the config of another')
  t.ok((await wrong.check({ readData: true, workers: 0 })).findings.length > 0)
  await replaceObject(SCRATCH, 'config', bytes)
})

test('every bit of each snapshot, and every length of it', { timeout: 60_000 }, async (t) => {
  for (const [which, id] of VICTIM.snapshots.entries()) {
    const name = `snapshots/${id}`
    const bytes = await VICTIM.store.get(name)
    const alterations: [string, Uint8Array][] = [
      ...Array.from({ length: bytes.length * 8 }, (_, bit): [string, Uint8Array] => [
        `bit ${bit}`,
        flipped(bytes, bit),
      ]),
      ...Array.from({ length: bytes.length }, (_, n): [string, Uint8Array] => [
        `${n} bytes`,
        bytes.subarray(0, n),
      ]),
      ['a byte more', new Uint8Array([...bytes, 0])],
      ['zeros', new Uint8Array(bytes.length)],
      ['the other snapshot', await VICTIM.store.get(`snapshots/${VICTIM.snapshots[1 - which]}`)],
      ['the config', await VICTIM.store.get('config')],
    ]
    for (const [i, [what, altered]] of alterations.entries()) {
      const found = codeOfCall(() => decodeSnapshot(id, altered, plainRecords))
      if (found !== 'ERR_CORRUPT_SNAPSHOT') t.fail(`${what}: ${found}`)
      if (i % 100 !== 0 && i < alterations.length - 4) continue
      await withObject(name, altered, async (alter) => {
        await alter(SCRATCH)
        const repo = await Repository.open(SCRATCH)
        t.equal(await codeOf(repo.snapshot(id)), 'ERR_CORRUPT_SNAPSHOT')
        const { findings } = await repo.check()
        t.same(
          findings.map(({ code, object }) => ({ code, object })),
          [{ code: 'ERR_CORRUPT_SNAPSHOT', object: name }],
          what,
        )
        t.same(findings[0]?.snapshots, [id])
        t.equal(await imageVerdict(repo, 1 - which), 'exact', 'the other one restores')
        t.equal(
          await codeOf(repo.snapshot('latest')),
          'ERR_CORRUPT_SNAPSHOT',
          'an older one is not passed off as the latest',
        )
      })
    }
  }
})

test("a damaged snapshot stands in nobody's way", async (t) => {
  const store = await copyOf(VICTIM.store)
  const [first, second] = VICTIM.snapshots
  await replaceObject(store, `snapshots/${first}`, noise('no snapshot', 500))
  const repo = await Repository.open(store)
  const image = diskImage('after damage')
  const { id } = await backUp(repo, image)
  t.ok(sameBytes(await restored(repo, id), image), 'a backup works')
  t.equal(await restoreVerdict(repo, 1), 'exact', 'a restore works')
  const ids: SnapshotId[] = []
  const listing = (async () => {
    for await (const snapshot of repo.snapshots()) ids.push(snapshot.id)
  })()
  t.equal(await codeOf(listing), 'ERR_CORRUPT_SNAPSHOT', 'a listing tells')
  t.same(ids.sort(), [second, id].sort(), 'after all others')
  t.equal(await repo.forget(first!), first, 'it can be forgotten')
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
})

test('every bit of each index segment, and every length of it', { timeout: 60_000 }, async (t) => {
  for (const name of await objectNames(VICTIM.store, 'index/')) {
    const bytes = await VICTIM.store.get(name)
    const code = (altered: Uint8Array): string =>
      codeOfCall(() => decodeIndexSegment(name, altered, plainRecords))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const found = code(flipped(bytes, bit))
      if (found !== 'ERR_CORRUPT_INDEX') t.fail(`bit ${bit} of ${name}: ${found}`)
    }
    for (let length = 0; length < bytes.length; length++) {
      const found = code(bytes.subarray(0, length))
      if (found !== 'ERR_CORRUPT_INDEX') t.fail(`${length} bytes of ${name}: ${found}`)
    }
    const others = (await objectNames(VICTIM.store, 'index/')).filter((other) => other !== name)
    const alterations: [string, Uint8Array | undefined][] = [
      ['a bit', flipped(bytes, 1000)],
      ['its last bit', flipped(bytes, bytes.length * 8 - 1)],
      ['no bytes', new Uint8Array(0)],
      ['half of it', bytes.subarray(0, bytes.length >>> 1)],
      ['a byte more', new Uint8Array([...bytes, 0])],
      ['zeros', new Uint8Array(bytes.length)],
      ['another segment', await VICTIM.store.get(others[0]!)],
      ['gone', undefined],
    ]
    for (const [what, altered] of alterations) {
      await withObject(name, altered, async (alter) => {
        const found = await examine(t, `${what} of ${name}`, alter, 'restore')
        t.ok(found !== undefined && found.report.findings.length > 0, `${what}: the check finds it`)
        const codes = found!.report.findings.map(({ code }) => code)
        t.ok(codes.includes(altered === undefined ? 'ERR_CHUNK_MISSING' : 'ERR_CORRUPT_INDEX'), what)
        // Whom the check does not name can restore, at the latest when the segment is taken away.
        const named = new Set(found!.report.findings.flatMap(({ snapshots }) => snapshots))
        await replaceObject(SCRATCH, name, undefined)
        for (const [which, id] of VICTIM.snapshots.entries()) {
          const verdict = await restoreVerdict(await Repository.open(SCRATCH), which)
          t.equal(verdict, named.has(id) ? 'ERR_CHUNK_MISSING' : 'exact', `${what}: snapshot ${which}`)
        }
      })
    }
  }
})

/** Where the directory of a pack begins. */
function directoryOf(bytes: Uint8Array): number {
  return new DataView(bytes.buffer).getUint32(bytes.length - 64, true)
}

/** Offsets worth a flip in a pack: header, directory and trailer whole, and a sample of the blobs. */
function* placesIn(bytes: Uint8Array, sample: number, whole: boolean): Generator<number> {
  const directory = directoryOf(bytes)
  const step = whole ? 1 : 7
  for (let at = 0; at < 64; at += step) yield at
  for (let at = directory; at < bytes.length; at += step) yield at
  const draws = new DataView(noise('places', sample * 4).buffer)
  for (let i = 0; i < sample; i++) yield 64 + (draws.getUint32(i * 4) % (directory - 64))
}

test('flipped bits in packs', { timeout: 120_000 }, async (t) => {
  const packs = await objectNames(VICTIM.store, 'packs/')
  const checker = new PackChecker(
    deriveRepositoryKeys(decodeConfig(await VICTIM.store.get('config')) as RepositoryConfig),
  )
  let flips = 0
  let missed = 0
  for (const [i, name] of packs.entries()) {
    const bytes = await VICTIM.store.get(name)
    for (const at of placesIn(bytes, Math.ceil(1300 / packs.length), bytes.length < 3000)) {
      const bit = at * 8 + (flips % 8)
      const altered = flipped(bytes, bit)
      if (checker.check(name, altered).length === 0) missed++
      if (flips++ % 15 !== 0) continue
      await withObject(name, altered, async (alter) => {
        const what = `bit ${bit} of pack ${i}`
        const found = await examine(t, what, alter, flips % 30 === 1 ? 'restore' : 'read')
        if (found === undefined) return
        if (found.report.findings.length === 0) missed++
        const named = new Set(found.report.findings.flatMap(({ snapshots }) => snapshots))
        for (const [which, id] of VICTIM.snapshots.entries()) {
          if (found.verdicts[which] !== 'exact' && !named.has(id))
            t.fail(`${what}: the check does not name snapshot ${which}, which is ${found.verdicts[which]}`)
        }
        const { findings } = await (await Repository.open(SCRATCH)).check()
        const isBlob = at >= 64 && at < directoryOf(bytes)
        if (!isBlob) t.ok(findings.length > 0, `${what}: found without reading the blobs`)
      })
    }
  }
  t.ok(flips >= 2000, `${flips} flips`)
  t.equal(missed, 0, 'the check finds every one')
})

test('a damaged chunk is named, and never restored', { timeout: 30_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  // Chunks that do not compress: only their ids tell that they were altered.
  const image = noise('chunks', 200_000)
  await backUp(repo, image)
  for (const name of await objectNames(store, 'packs/')) {
    const bytes = await store.get(name)
    const isNodes = bytes.length < 10_000
    if (isNodes) continue
    await replaceObject(store, name, flipped(bytes, 8 * 5000))
    for (const workers of [0, 2]) {
      for (const onlyDifferent of [false, true]) {
        const target = new MemoryTarget({ content: noise('used', 200_000) })
        const restore = repo.restore('latest', target, { workers, onlyDifferent })
        const error = await restore.catch((reason: unknown) => reason)
        t.ok(PlatterError.is(error, 'ERR_CORRUPT_BLOB'), `${workers} workers, onlyDifferent ${onlyDifferent}`)
        t.equal((error as PlatterError).details.object, name)
      }
    }
    await replaceObject(store, name, bytes)
  }
  t.ok(sameBytes(await restored(repo, 'latest'), image))
})

test('a pack under a wrong name is found although nothing names it', async (t) => {
  const store = await copyOf(VICTIM.store)
  const [name] = await objectNames(store, 'packs/')
  const wrong = `packs/00/${'0'.repeat(64)}`
  await store.putIfAbsent(wrong, [await store.get(name!)])
  const { findings } = await (await Repository.open(store)).check({ readData: true, workers: 0 })
  t.same(
    findings.map(({ code, object }) => ({ code, object })),
    [{ code: 'ERR_CORRUPT_PACK', object: wrong }],
  )
})

test('packs cut short, drawn out, emptied, swapped and gone', { timeout: 120_000 }, async (t) => {
  const packs = await objectNames(VICTIM.store, 'packs/')
  for (const [i, name] of packs.entries()) {
    const bytes = await VICTIM.store.get(name)
    const other = await VICTIM.store.get(packs[(i + 1) % packs.length]!)
    const lengths = [0, 1, 63, 64, 65, 127, 128, bytes.length - 65, bytes.length - 64, bytes.length - 1]
    for (let k = 1; k < 5; k++) lengths.push(Math.floor((bytes.length * k) / 5))
    const alterations: [string, Uint8Array | undefined][] = [
      ...lengths.map((length): [string, Uint8Array] => [`${length} bytes`, bytes.subarray(0, length)]),
      ['a byte more', new Uint8Array([...bytes, 0])],
      ['a trailer more', new Uint8Array([...bytes, ...bytes.subarray(-64)])],
      ['zeros', new Uint8Array(bytes.length)],
      ['zeros from the middle on', bytes.slice().fill(0, bytes.length >>> 1)],
      ['the next pack', other],
      ['no pack', noise('no pack', bytes.length)],
      ['gone', undefined],
    ]
    for (const [k, [what, altered]] of alterations.entries()) {
      await withObject(name, altered, async (alter) => {
        const found = await examine(t, `${what} of pack ${i}`, alter, k % 8 === 0 ? 'restore' : 'read')
        if (found === undefined) return
        const codes = found.report.findings.map(({ code }) => code)
        // A whole pack of another name is told from damage by what it holds.
        const code = what === 'the next pack' ? 'ERR_CORRUPT_INDEX' : 'ERR_CORRUPT_PACK'
        t.ok(codes.includes(code), `${what} of pack ${i}: ${codes.join()}`)
        const named = new Set(found.report.findings.flatMap(({ snapshots }) => snapshots))
        t.ok(named.size > 0, 'and names who needs it')
        for (const [which, id] of VICTIM.snapshots.entries()) {
          if (found.verdicts[which] !== 'exact')
            t.ok(named.has(id), `${what} of pack ${i}: snapshot ${which} is named`)
        }
        // Without reading data most is found too; what matters is that it looks, and does not break.
        const { findings } = await (await Repository.open(SCRATCH)).check()
        if (altered === undefined || altered.length !== bytes.length) t.ok(findings.length > 0)
      })
    }
  }
  const both = packs.slice(0, 2)
  const [first, second] = [await VICTIM.store.get(both[0]!), await VICTIM.store.get(both[1]!)]
  await withObject(both[1]!, first, (alterSecond) =>
    withObject(both[0]!, second, async (alterFirst) => {
      const swap = async (store: MemoryStore): Promise<void> => {
        await alterSecond(store)
        await alterFirst(store)
      }
      const found = await examine(t, 'two packs swapped', swap, 'restore')
      t.ok(found!.report.findings.length >= 2)
      t.ok((await (await Repository.open(SCRATCH)).check()).findings.length >= 2)
    }),
  )
})

test('objects that are none of ours are passed over', async (t) => {
  const store = await copyOf(VICTIM.store)
  const strange = [
    'packs/zz',
    'packs/ab/short',
    'index/readme',
    'index/old/000000',
    'snapshots/readme',
    'forget/x',
    'notes',
  ]
  for (const name of [...strange, `snapshots/${'a'.repeat(33)}`, `packs/00/${'1'.repeat(64)}`])
    await store.putIfAbsent(name, [noise(name, 100)])
  const repo = await Repository.open(store)
  for (const which of IMAGES.keys()) t.equal(await restoreVerdict(repo, which), 'exact')
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  t.equal((await repo.stats()).snapshots, 2)
  t.equal(await codeOf(backUp(repo, diskImage('among strangers'))), 'success')
})

test('what a store answers wrongly once is found as well', async (t) => {
  // A flipped bit on the way, not in the store: the next read is right again.
  const repo = await Repository.open(VICTIM.store)
  const lying = new (class extends MemoryStore {
    reads = 0
    override async getRange(...args: Parameters<MemoryStore['getRange']>): Promise<Uint8Array<ArrayBuffer>> {
      const bytes = await VICTIM.store.getRange(...args)
      if (this.reads++ === 4) bytes[bytes.length >>> 1]! ^= 4
      return bytes
    }
    override get = VICTIM.store.get.bind(VICTIM.store)
    override stat = VICTIM.store.stat.bind(VICTIM.store)
    override list = VICTIM.store.list.bind(VICTIM.store)
  })()
  const again = await Repository.open(lying)
  t.match(await restoreVerdict(again, 0), TYPED)
  t.equal(await restoreVerdict(again, 0), 'exact')
  t.equal(await restoreVerdict(repo, 0), 'exact')
})

type Change = (record: Record<string, RecordValue | undefined>) => void

/** Gives a field another value, or takes it away. */
function set(field: string, value: RecordValue | undefined): Change {
  return (record) => {
    record[field] = value
  }
}

/** The same in a snapshot's volume. */
function setVolume(field: string, value: RecordValue): Change {
  return (record) => {
    const [first] = record.volumes as readonly Record<string, RecordValue>[]
    record.volumes = [{ ...first, [field]: value }]
  }
}

/** Opens a record, lets it be changed, and seals it again under its name. */
async function resealed(store: MemoryStore, type: RecordType, name: string, change: Change): Promise<void> {
  const record: Record<string, RecordValue | undefined> = {
    ...(decodeRecord(openRecord(type, name, await store.get(name))) as Record<string, RecordValue>),
  }
  change(record)
  const kept = Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
  const parts = sealRecord(type, name, encodeRecord(kept as Record<string, RecordValue>))
  await replaceObject(store, name, new Uint8Array(Buffer.concat(parts)))
}

test('what a later version wrote is called that', async (t) => {
  const [first, second] = VICTIM.snapshots
  const name = `snapshots/${first}`
  const changes: [RecordType, string, Change, string][] = [
    [RECORD_TYPE.config, 'config', set('version', 2), 'ERR_UNSUPPORTED_VERSION'],
    [RECORD_TYPE.config, 'config', set('requiredFeatures', ['time travel']), 'ERR_UNSUPPORTED_FEATURE'],
    [RECORD_TYPE.config, 'config', set('crypto', 'xchacha20'), 'ERR_UNSUPPORTED_FEATURE'],
    [RECORD_TYPE.snapshot, name, set('version', 2), 'ERR_UNSUPPORTED_VERSION'],
    [RECORD_TYPE.snapshot, name, set('requiredFeatures', ['recipes']), 'ERR_UNSUPPORTED_FEATURE'],
  ]
  for (const [type, object, change, code] of changes) {
    const store = await copyOf(VICTIM.store)
    await resealed(store, type, object, change)
    if (type === RECORD_TYPE.config) {
      t.equal(await codeOf(Repository.open(store)), code, object)
      continue
    }
    const repo = await Repository.open(store)
    t.equal(await codeOf(repo.restore(first!, new MemoryTarget(), { workers: 0 })), code)
    t.equal(await imageVerdict(repo, 1), 'exact')
    t.same(
      (await repo.check()).findings.map((finding) => finding.code),
      [code],
    )
    t.equal((await repo.snapshot(second!)).id, second)
    t.equal(await codeOf(backUp(repo, diskImage('beside it'))), 'success', 'backups go on')
  }
  const store = await copyOf(VICTIM.store)
  await resealed(store, RECORD_TYPE.config, 'config', (record) => {
    record.optionalFeatures = ['hints']
    record.somethingNew = { of: ['any', 'kind'] }
  })
  t.equal(await restoreVerdict(await Repository.open(store), 0), 'exact', 'what is optional is passed over')

  // The version in a record's header, with a checksum that fits.
  for (const [type, object] of [
    [RECORD_TYPE.config, 'config'],
    [RECORD_TYPE.snapshot, name],
    [RECORD_TYPE.index, (await objectNames(VICTIM.store, 'index/'))[0]!],
  ] as const) {
    const { createHasher } = await import('@platter/core')
    for (const at of [4, 6]) {
      const bytes = await VICTIM.store.get(object)
      bytes[at] = 9
      const sum = createHasher().hashParts([
        new Uint8Array([object.length]),
        Buffer.from(object),
        bytes.subarray(0, -32),
      ])
      bytes.set(sum, bytes.length - 32)
      const altered = await copyOf(VICTIM.store)
      await replaceObject(altered, object, bytes)
      const found = await codeOf(
        Repository.open(altered).then((repo) => repo.restore(first!, new MemoryTarget(), { workers: 0 })),
      )
      t.equal(found, 'ERR_UNSUPPORTED_VERSION', `${type}, byte ${at}`)
    }
  }
})

test('a config that was made by a stranger', async (t) => {
  const wrong: [string, Change][] = [
    ['no id', set('id', undefined)],
    ['a short id', set('id', new Uint8Array(3))],
    ['a short secret', set('secret', new Uint8Array(31))],
    ['a secret that is text', set('secret', 'x'.repeat(32))],
    ['no chunker', set('chunker', null)],
    [
      'another chunker',
      set('chunker', { kind: '__proto__', minBytes: 4096, averageBytes: 4096, maxBytes: 4096 }),
    ],
    ['chunks of no length', set('chunker', { kind: 'fixed', minBytes: 0, averageBytes: 0, maxBytes: 0 })],
    [
      'huge chunks',
      set('chunker', { kind: 'aligned', minBytes: 4096, averageBytes: 8192, maxBytes: 2 ** 40 }),
    ],
    ['regions of no length', set('regionBytes', 0)],
    ['huge regions', set('regionBytes', 2 ** 50)],
    ['fractions', set('packBytes', 65_536.5)],
    ['features that are none', set('requiredFeatures', [1])],
    ['a version that is none', set('version', 'one')],
  ]
  for (const [what, change] of wrong) {
    const store = await copyOf(VICTIM.store)
    await resealed(store, RECORD_TYPE.config, 'config', change)
    t.equal(await codeOf(Repository.open(store)), 'ERR_CORRUPT_CONFIG', what)
  }
  t.equal(
    codeOfCall(() => decodeConfig(new Uint8Array(0))),
    'ERR_CORRUPT_CONFIG',
  )
})

test('a snapshot that was made by a stranger', async (t) => {
  const [id] = VICTIM.snapshots
  const name = `snapshots/${id}`
  const wrong: [string, Change, RegExp][] = [
    ['another size', setVolume('sizeBytes', SIZE_BYTES - 1), /^ERR_CORRUPT_NODE$/],
    ['a region less', setVolume('sizeBytes', SIZE_BYTES - REGION_BYTES), /^ERR_CORRUPT_NODE$/],
    ['a tree of another height', setVolume('sizeBytes', 1024 * REGION_BYTES), /^ERR_CORRUPT_NODE$/],
    ['one region', setVolume('sizeBytes', REGION_BYTES), /^ERR_CORRUPT_NODE$/],
    ['the largest size', setVolume('sizeBytes', Number.MAX_SAFE_INTEGER), /^ERR_CORRUPT_NODE$/],
    ['no size', setVolume('sizeBytes', 0), /^ERR_CORRUPT_SNAPSHOT$/],
    ['a negative size', setVolume('sizeBytes', -1), /^ERR_CORRUPT_SNAPSHOT$/],
    ['no root', setVolume('root', null), /^ERR_CORRUPT_SNAPSHOT$/],
    ['an unknown root', setVolume('root', new Uint8Array(32)), /^ERR_CHUNK_MISSING$/],
    ['another digest', setVolume('imageDigest', new Uint8Array(32)), /^ERR_DIGEST_MISMATCH$/],
    ['a bad range that is none', setVolume('badRanges', [[1]]), /^ERR_CORRUPT_SNAPSHOT$/],
    ['a negative bad range', setVolume('badRanges', [[0, -5]]), /^ERR_CORRUPT_SNAPSHOT$/],
    ['no volume', set('volumes', []), /^ERR_CORRUPT_SNAPSHOT$/],
    [
      'two volumes',
      (record) => {
        record.volumes = [1, 2].flatMap(() => record.volumes as RecordValue[])
      },
      /^ERR_UNSUPPORTED_FEATURE$/,
    ],
    ['a time that is none', set('time', 'yesterday'), /^ERR_CORRUPT_SNAPSHOT$/],
    ['a parent that is none', set('parent', 'eve'), /^ERR_CORRUPT_SNAPSHOT$/],
    ['a long name', set('name', 'n'.repeat(2000)), /^ERR_CORRUPT_SNAPSHOT$/],
    ['no statistics', set('stats', undefined), /^ERR_CORRUPT_SNAPSHOT$/],
  ]
  for (const [what, change, code] of wrong) {
    const store = await copyOf(VICTIM.store)
    await resealed(store, RECORD_TYPE.snapshot, name, change)
    const repo = await Repository.open(store)
    const untouched = targetFrom({
      prepare: async () => ({ blank: true }),
      write: async () => {},
      flush: async () => {},
    })
    t.match(await codeOf(repo.restore(id!, untouched, { workers: 0 })), code, what)
    const { findings } = await repo.check()
    // The image is not digested without reading it; several volumes are sound, only not for this version.
    if (what !== 'another digest' && what !== 'two volumes')
      t.ok(findings.length > 0, `${what}: the check finds it`)
    for (const finding of findings) t.same(finding.snapshots, [id])
    t.equal(await imageVerdict(repo, 1), 'exact')
  }
})
