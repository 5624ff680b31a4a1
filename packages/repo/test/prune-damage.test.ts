// Prunes and forget plans of repositories with losses that a repair has marked: the marked chunks may be missing, and
// nothing else may; what is left is kept, and what a later repair can use.
import type { SnapshotId, Store } from '@platter/core'
import { encodeRecord, encryptedRecords, plainRecords, RECORD_TYPE } from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import type { ByteRange, InitOptions, PruneOptions } from '@platter/repo'
import { type Test, test } from 'tap'
import { readConfig } from '../dist/config/open-config.js'
import { deriveRepositoryKeys } from '../dist/config/repository-keys.js'
import { BLOB_TYPE } from '../dist/format/blob-entry.js'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { damageName, packName, snapshotName } from '../dist/format/object-names.js'
import { decodeSnapshot, encodeSnapshot } from '../dist/format/snapshot-record.js'
import {
  backUp,
  codeOf,
  copyOf,
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

const REGION_BYTES = SETTINGS.regionBytes!
const NOW: PruneOptions = { patienceSeconds: 0 }
const KINDS: readonly [what: string, settings: InitOptions][] = [
  ['not encrypted', SETTINGS],
  ['encrypted', ENCRYPTED],
]
const FIRST = noise('first', 600_000)
/** Shares the first half. */
const SECOND = new Uint8Array([...FIRST.subarray(0, 300_000), ...noise('second', 300_000)])

interface Damaged {
  readonly store: MemoryStore
  readonly first: SnapshotId
  readonly second: SnapshotId
  /** What the first snapshot has lost. */
  readonly ranges: readonly ByteRange[]
  /** Name of the pack that was damaged. */
  readonly pack: string
}

/** A repository of two snapshots, of which a repair has found the first one damaged, and the second one whole. */
async function damaged(settings: InitOptions): Promise<Damaged> {
  const original = new MemoryStore()
  const repo = await newRepository(original, settings)
  const first = (await backUp(repo, FIRST)).id
  const second = (await backUp(repo, SECOND, { name: 'other' })).id
  for (const pack of await objectNames(original, 'packs/')) {
    const store = await copyOf(original)
    const bytes = await store.get(pack)
    bytes[1000]! ^= 1
    await replaceObject(store, pack, bytes)
    const { damage } = await (await openRepository(store)).repairPacks({ workers: 0, dryRun: true })
    const [found] = damage
    if (damage.length !== 1 || found!.snapshot !== first || found!.ranges.some(isWholeRegions)) continue
    await (await openRepository(store)).repairPacks({ workers: 0 })
    return { store, first, second, ranges: found!.ranges, pack }
  }
  throw new Error('No pack holds a chunk of the first snapshot alone.')
}

/** What is lost with a leaf, or a node above it: no single chunk is meant. */
function isWholeRegions({ offset, length }: ByteRange): boolean {
  const end = offset + length
  return offset % REGION_BYTES === 0 && (end % REGION_BYTES === 0 || end === FIRST.length)
}

function bytesOf(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0)
}

/** Backs something up that nobody needs afterwards, and gives the number of packs it left. */
async function addGarbage(store: Store): Promise<number> {
  const before = (await objectNames(store, 'packs/')).length
  const repo = await openRepository(store)
  await repo.forget((await backUp(repo, noise('garbage', 300_000), { name: 'garbage' })).id)
  return (await objectNames(store, 'packs/')).length - before
}

/** What is left of the first snapshot: its image with zeros where chunks are lost. */
async function assertPartly(
  t: Test,
  store: Store,
  id: SnapshotId,
  ranges: readonly ByteRange[],
): Promise<void> {
  const target = new MemoryTarget()
  const { damagedRanges } = await (await openRepository(store)).restore(id, target, {
    workers: 0,
    allowDamaged: true,
  })
  t.same(damagedRanges, ranges, 'no more is lost than was')
  const expected = FIRST.slice()
  for (const { offset, length } of ranges) expected.fill(0, offset, offset + length)
  t.ok(sameBytes(target.bytes, expected), 'what was left is left')
}

/** Writes a damage mark as a repair would. */
async function mark(
  store: Store,
  id: SnapshotId,
  ranges: readonly ByteRange[],
  number: number,
): Promise<void> {
  const isEncrypted = (await objectNames(store, 'keys/')).length > 0
  const { config } = await readConfig(store, isEncrypted ? { keyFile: KEY_FILE } : {}, {})
  const { metadata } = deriveRepositoryKeys(config)
  const records = metadata === undefined ? plainRecords : encryptedRecords(metadata)
  const name = damageName(id, number)
  const payload = encodeRecord({ version: 1, ranges: ranges.map(({ offset, length }) => [offset, length]) })
  await store.putIfAbsent(name, records.seal(RECORD_TYPE.damage, name, payload))
}

/** How a prune ends. One that is refused has removed nothing; it may have ended sessions that were dead. */
async function pruneCode(store: Store): Promise<string> {
  const before = await objectNames(store)
  const code = await codeOf((await openRepository(store)).prune(undefined, NOW))
  const after = new Set(await objectNames(store))
  if (code !== 'success' && before.some((name) => !after.has(name)))
    throw new Error('A prune that was refused has removed something.')
  return code
}

for (const [what, settings] of KINDS) {
  test(`losses that are marked do not stop a prune: ${what}`, async (t) => {
    const { store, first, second, ranges, pack } = await damaged(settings)
    const garbage = await addGarbage(store)
    const report = await (await openRepository(store)).prune(undefined, NOW)
    t.equal(report.outcome, 'done')
    t.ok(report.packsRemoved >= garbage && garbage > 0, `${report.packsRemoved} of ${garbage}`)
    t.ok(sameBytes(await restored(await openRepository(store), second), SECOND))
    await assertPartly(t, store, first, ranges)
    t.ok((await objectNames(store)).includes(pack), 'the damaged pack is kept')

    const plan = await (await openRepository(store)).planForget({ snapshots: [first] })
    t.ok(plan.bytesFreed! > 0, 'what its removal frees can be told')

    const healed = await (await openRepository(store)).repairPacks({
      workers: 0,
      from: new MemorySource(FIRST),
    })
    t.same(healed.healed, [first])
    await addGarbage(store)
    t.equal(await pruneCode(store), 'success')
    t.ok(sameBytes(await restored(await openRepository(store), first), FIRST), 'it was healed after a prune')
  })

  test(`losses that are not marked, or not validly so, stop a prune: ${what}`, async (t) => {
    const { store, first, second, ranges } = await damaged(settings)
    await addGarbage(store)
    const [name] = await objectNames(store, `damage/${first}/`)
    const record = await store.get(name!)
    const refused = async (how: string, change: (copy: Store) => Promise<void>): Promise<void> => {
      const copy = await copyOf(store)
      await change(copy)
      t.equal(await pruneCode(copy), 'ERR_CHUNK_MISSING', how)
    }
    const remark = (by: readonly ByteRange[]) => (copy: Store) => mark(copy, first, by, 1)
    const { offset, length } = ranges[0]!
    await refused('no mark', (copy) => copy.delete(name!))
    await refused('a mark that was taken back', remark([]))
    await refused('a byte less in front', remark([{ offset: offset + 1, length: 200_000 }]))
    await refused('a byte less behind', remark([{ offset: 0, length: offset + bytesOf(ranges) - 1 }]))
    await refused('another range', remark([{ offset: offset + length, length: 1 }]))
    await refused('a damaged mark', (copy) =>
      replaceObject(
        copy,
        name!,
        record.map((byte) => byte ^ 1),
      ),
    )
    await refused('the mark of another snapshot under its name', async (copy) => {
      await mark(copy, second, ranges, 0)
      await replaceObject(copy, name!, await copy.get(damageName(second, 0)))
      await copy.delete(damageName(second, 0))
    })
    if (settings === ENCRYPTED) {
      await refused('a mark that was not sealed', async (copy) => {
        const payload = encodeRecord({ version: 1, ranges: [[0, 600_000]] })
        await copy.delete(name!)
        await copy.putIfAbsent(name!, plainRecords.seal(RECORD_TYPE.damage, name!, payload))
      })
    }
  })
}

test('another snapshot that needs the same chunk has to be marked too', async (t) => {
  const original = await damaged(SETTINGS)
  const { first, ranges } = original
  // Snapshots of the same time are visited in the order of their ids.
  for (const digit of ['00', 'ff']) {
    const store = await copyOf(original.store)
    const twin = await twinOf(store, first, digit)
    await addGarbage(store)
    t.equal(await pruneCode(store), 'ERR_CHUNK_MISSING', 'not marked at all')
    await mark(store, twin, [{ offset: 0, length: 1 }], 0)
    t.equal(await pruneCode(store), 'ERR_CHUNK_MISSING', 'marked elsewhere')
    await mark(store, twin, ranges, 1)
    t.equal(await pruneCode(store), 'success')
    for (const id of [first, twin]) await assertPartly(t, store, id, ranges)
  }
})

test('what is there is kept, although its range is marked', async (t) => {
  for (const [, settings] of KINDS) {
    const { store, first, second } = await damaged(settings)
    const healed = await (await openRepository(store)).repairPacks({
      workers: 0,
      from: new MemorySource(FIRST),
    })
    t.same(healed.healed, [first])
    for (const id of [first, second]) await mark(store, id, [{ offset: 0, length: 600_000 }], 7)
    await addGarbage(store)
    t.match(await (await openRepository(store)).prune(undefined, { ...NOW, maxUnusedFraction: 0 }), {
      outcome: 'done',
    })
    await assertPartly(t, store, first, [])
    t.same((await (await openRepository(store)).repairPacks({ workers: 0 })).healed.length, 2)
    t.ok(sameBytes(await restored(await openRepository(store), second), SECOND))
  }
})

test('a lost tree node stops a prune, marked or not: what it led to is not known', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, FIRST)
  await store.delete(await packOfNodes(store))
  await addGarbage(store)
  const { marked } = await (await openRepository(store)).repairPacks({ workers: 0 })
  t.same(marked, [id])
  t.equal(await pruneCode(store), 'ERR_CHUNK_MISSING')
  const error = (await rejection((await openRepository(store)).prune(undefined, NOW))) as Error
  t.match(error.message, new RegExp(`snapshot ${id} cannot be followed.*Repair it, or forget`))
  await (await openRepository(store)).forget(id)
  t.equal(await pruneCode(store), 'success')
})

/** Another snapshot record with the same tree: no writer would rely on what is lost. */
async function twinOf(store: Store, id: SnapshotId, firstDigits: string): Promise<SnapshotId> {
  const twin = `${firstDigits}${id.slice(2)}` as SnapshotId
  const snapshot = decodeSnapshot(id, await store.get(snapshotName(id)), plainRecords)
  await store.putIfAbsent(snapshotName(twin), encodeSnapshot({ ...snapshot, id: twin }, plainRecords))
  return twin
}

async function packOfNodes(store: Store): Promise<string> {
  for (const name of await objectNames(store, 'index/')) {
    const segment = decodeIndexSegment(name, await store.get(name), plainRecords)
    for (let i = 0; i < segment.entryCount; i++) {
      const { type, pack } = segment.entry(i)
      if (type === BLOB_TYPE.node) return packName(segment.packs[pack]!.id)
    }
  }
  throw new Error('There are no nodes.')
}
