// Plans of what to forget: what that would free, and carrying them out.

import { plainRecords, type ReadableStore, type SnapshotId, type Store } from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import {
  type BackupOptions,
  type ForgetPlan,
  type ForgetSelection,
  Repository,
  type Snapshot,
} from '@platter/repo'
import * as fc from 'fast-check'
import { test } from 'tap'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { packName } from '../dist/format/object-names.js'
import { codeOf, collected, objectNames, replaceObject, SETTINGS, sameBytes } from './adversity.ts'
import { noise, SparseDisk, seededRandom } from './images.ts'

const REGION_BYTES = SETTINGS.regionBytes!
const NOW = new Date('2026-11-23T12:00:00Z')

/** Repositories made by this have the same secret, so that the same chunk has the same id in all of them. */
async function twinRepository(store: Store, clock: { now: Date } = { now: NOW }): Promise<Repository> {
  await Repository.init(store, { ...SETTINGS, random: seededRandom(7) })
  return await Repository.open(store, { now: () => clock.now })
}

/** An image of whole regions: equal numbers, equal content. */
function imageOf(regions: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(regions.length * REGION_BYTES)
  regions.forEach((seed, at) => {
    bytes.set(noise(REGION_BYTES, seed), at * REGION_BYTES)
  })
  return bytes
}

async function backUp(
  repo: Repository,
  regions: readonly number[],
  options: BackupOptions = {},
): Promise<Snapshot> {
  return await repo.backup(new MemorySource(imageOf(regions)), {
    name: 'disk',
    host: 'lab',
    workers: 0,
    ...options,
  })
}

/** Every entry of the index: id and stored size. */
async function entriesIn(store: Store): Promise<{ id: string; type: number; storedBytes: number }[]> {
  const entries: { id: string; type: number; storedBytes: number }[] = []
  for (const name of await objectNames(store, 'index/')) {
    const segment = decodeIndexSegment(name, await store.get(name), plainRecords)
    for (let i = 0; i < segment.entryCount; i++) {
      const { id, type, storedBytes } = segment.entry(i)
      entries.push({ id: Buffer.from(id).toString('hex'), type, storedBytes })
    }
  }
  return entries
}

/** What an image needs: its blobs and their stored sizes, as a repository has them that holds nothing else. */
async function needsOf(image: readonly number[]): Promise<Map<string, number>> {
  const store = new MemoryStore()
  await using repo = await twinRepository(store)
  await backUp(repo, image)
  return new Map((await entriesIn(store)).map(({ id, storedBytes }) => [id, storedBytes]))
}

function bytesNeededOnlyBy(
  some: readonly Map<string, number>[],
  others: readonly Map<string, number>[],
): number {
  const all = new Map(some.flatMap((needs) => [...needs]))
  let bytes = 0
  for (const [id, storedBytes] of all) if (!others.some((needs) => needs.has(id))) bytes += storedBytes
  return bytes
}

function freedOf({ snapshots }: ForgetPlan): Map<SnapshotId, number> {
  return new Map(snapshots.map(({ snapshot, bytesFreed }) => [snapshot.id, bytesFreed!]))
}

async function listed(repo: Repository): Promise<SnapshotId[]> {
  return (await collected(repo.snapshots())).map(({ id }) => id)
}

// --- sizes -----------------------------------------------------------------------------------------------------

test('what is freed is what no other snapshot needs, whatever they share', { timeout: 90_000 }, async (t) => {
  const images = fc.array(
    fc.record({ regions: fc.array(fc.nat(4), { minLength: 1, maxLength: 5 }), removed: fc.boolean() }),
    { minLength: 1, maxLength: 6 },
  )
  await fc.assert(
    fc.asyncProperty(images, async (specs) => {
      await using repo = await twinRepository(new MemoryStore())
      const made: { id: SnapshotId; removed: boolean; needs: Map<string, number> }[] = []
      for (const { regions, removed } of specs)
        made.push({ id: (await backUp(repo, regions)).id, removed, needs: await needsOf(regions) })
      const needs = (some: typeof made): Map<string, number>[] => some.map((one) => one.needs)
      const alone = new Map(
        made.map((one) => [
          one.id,
          bytesNeededOnlyBy([one.needs], needs(made.filter((other) => other !== one))),
        ]),
      )
      const all = await repo.planForget({ policy: { keepLast: 100 } })
      t.same(freedOf(all), alone)
      t.equal(all.bytesFreed, 0, 'nothing is planned')

      const removed = made.filter((one) => one.removed)
      if (removed.length === 0) return
      const plan = await repo.planForget({ snapshots: removed.map(({ id }) => id) })
      t.same(freedOf(plan), new Map(removed.map(({ id }) => [id, alone.get(id)])))
      const kept = made.filter((one) => !one.removed)
      t.equal(plan.bytesFreed, bytesNeededOnlyBy(needs(removed), needs(kept)))
    }),
    { numRuns: 12 },
  )
})

test('a chunk that is stored twice is freed twice', async (t) => {
  const store = new MemoryStore()
  await using repo = await twinRepository(store)
  // Neither sees the other's packs: both store everything.
  const twins = await Promise.all([backUp(repo, [1, 2, 3]), backUp(repo, [1, 2, 3])])
  const entries = await entriesIn(store)
  t.ok(new Set(entries.map(({ id }) => id)).size < entries.length, 'there are chunks that are stored twice')
  const one = await repo.planForget({ snapshots: [twins[0].id] })
  t.equal(one.bytesFreed, 0)
  const both = await repo.planForget({ snapshots: twins.map(({ id }) => id) })
  t.same([...freedOf(both).values()], [0, 0], 'neither frees anything alone')
  t.equal(
    both.bytesFreed,
    entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  )
})

test('disks with trees of several levels, holes, and nothing in them', async (t) => {
  const store = new MemoryStore()
  await using repo = await twinRepository(store)
  const regions = 2600
  const disk = (...places: [region: number, seed: number][]): SparseDisk =>
    new SparseDisk(
      regions * REGION_BYTES,
      places.map(([region, seed]) => ({ offset: region * REGION_BYTES, bytes: noise(20_000, seed) })),
    )
  const settings = { name: 'disk', workers: 0 }
  const first = await repo.backup(disk([3, 1], [1500, 2], [2599, 3]), settings)
  const blobs = await entriesIn(store)
  const second = await repo.backup(disk([3, 1], [1500, 9], [2599, 3]), settings)
  const empty = await repo.backup(new MemorySource(new Uint8Array()), settings)
  const holes = await repo.backup(disk(), settings)
  const plan = await repo.planForget({ snapshots: [first.id, empty.id] })
  const freed = freedOf(plan)
  t.equal(freed.get(empty.id), 0)
  t.ok(
    freed.get(first.id)! > 20_000 && freed.get(first.id)! < 2 * 20_000,
    'one chunk, and the nodes above it',
  )
  const three = await repo.planForget({ snapshots: [first.id, second.id, holes.id] })
  t.equal(
    three.bytesFreed,
    (await entriesIn(store)).reduce((sum, { storedBytes }) => sum + storedBytes, 0),
  )
  t.ok(blobs.length > 5)
})

test('each node is read twice at most, however many snapshots have it', async (t) => {
  const inner = new MemoryStore()
  const repo = await twinRepository(inner)
  const regions = Array.from({ length: 24 }, (_, at) => at)
  for (let n = 0; n < 30; n++) {
    regions[n % 24] = 100 + n
    await backUp(repo, regions)
  }
  const nodes = (await entriesIn(inner)).filter(({ type }) => type === 1)
  const store = new FaultStore(inner)
  let bytesRead = 0
  const { getRange } = store
  store.getRange = async (...args) => {
    const bytes = await getRange.apply(store, args)
    if (args[0].startsWith('packs/')) bytesRead += bytes.length
    return bytes
  }
  const plan = await (await Repository.open(store)).planForget({ policy: { keepLast: 10 } })
  const nodeBytes = nodes.reduce((sum, { storedBytes }) => sum + storedBytes, 0)
  t.ok(bytesRead >= nodeBytes && bytesRead <= 2 * nodeBytes, `${bytesRead} bytes read, ${nodeBytes} of nodes`)
  const reads = store.log.filter(({ operation, name }) => operation === 'getRange' && /^packs/.test(name))
  t.ok(reads.length <= nodes.length, `${reads.length} reads, ${nodes.length} nodes: neighbours come together`)
  t.equal(plan.snapshots.filter(({ keep }) => !keep).length, 20)
  t.ok(plan.bytesFreed! > 0)

  store.log.length = 0
  const quick = await (await Repository.open(store)).planForget(
    { policy: { keepLast: 10 } },
    { sizes: false },
  )
  t.notOk(
    store.log.some(({ name }) => /^(packs|index)\//.test(name)),
    'without sizes no tree is read',
  )
  t.equal(quick.bytesFreed, undefined)
  t.same(
    quick.snapshots.map(({ snapshot, keep, bytesFreed }) => [snapshot.id, keep, bytesFreed]),
    plan.snapshots.map(({ snapshot, keep }) => [snapshot.id, keep, undefined]),
  )
})

// --- selection -------------------------------------------------------------------------------------------------

test('a policy sees the names and hosts it is to see, in the time zone it is given', async (t) => {
  const clock = { now: NOW }
  await using repo = await twinRepository(new MemoryStore(), clock)
  const at = async (time: string, name: string, host: string): Promise<SnapshotId> => {
    clock.now = new Date(time)
    return (await backUp(repo, [1], { name, host })).id
  }
  const a = [await at('2026-11-20T22:00:00Z', 'web', 'h1'), await at('2026-11-20T23:30:00Z', 'web', 'h1')]
  const b = [await at('2026-11-20T10:00:00Z', 'web', 'h2'), await at('2026-11-20T11:00:00Z', 'web', 'h2')]
  const c = [await at('2026-11-20T10:00:00Z', 'db', 'h1'), await at('2026-11-20T11:00:00Z', 'db', 'h1')]
  const ahead = await at('2099-01-01T00:00:00Z', 'web', 'h1')
  clock.now = NOW
  const policy = { keepDaily: 1 }
  const removes = async (selection: ForgetSelection): Promise<SnapshotId[]> =>
    (await repo.planForget(selection)).snapshots
      .filter(({ keep }) => !keep)
      .map(({ snapshot }) => snapshot.id)
  const utc = { policy, timeZone: 'UTC' }
  t.same(await removes(utc), [c[0], a[0], b[0]], 'by name, then host, then time')
  t.same(await removes({ ...utc, name: 'web' }), [a[0], b[0]])
  t.same(await removes({ ...utc, name: 'web', host: 'h2' }), [b[0]])
  t.same(await removes({ ...utc, host: 'h1' }), [c[0], a[0]])
  t.same(await removes({ ...utc, name: 'we' }), [])
  const two = { policy: { keepDaily: 2 }, name: 'web', host: 'h1' }
  t.same(await removes({ ...two, timeZone: 'UTC' }), [a[0]], 'one day in Greenwich')
  t.same(await removes({ ...two, timeZone: 'Europe/Berlin' }), [], 'two in Berlin')
  const planned = await repo.planForget({ ...utc, name: 'web', host: 'h1' })
  t.same(planned.snapshots.at(-1)?.reasons, [{ rule: 'future' }])
  t.equal(planned.snapshots.at(-1)?.snapshot.id, ahead)

  const named = await removes({ snapshots: [b[1]!, 'latest', b[0]!, b[1]!.slice(0, 8)] })
  t.same(named, [b[0], b[1], ahead], 'each once, oldest first')
  t.equal((await listed(repo)).length, 7, 'planning changes nothing')
  const refused: [selection: unknown, code: string][] = [
    [{ snapshots: [] }, 'ERR_INVALID_ARGUMENT'],
    [{ policy: {} }, 'ERR_INVALID_ARGUMENT'],
    [{ policy, timeZone: 'Nowhere' }, 'ERR_INVALID_ARGUMENT'],
    [{ snapshots: [a[0]!, 'ffffffff'] }, 'ERR_SNAPSHOT_NOT_FOUND'],
    [{}, 'ERR_INVALID_ARGUMENT'],
  ]
  for (const [selection, code] of refused)
    t.equal(await codeOf(repo.planForget(selection as ForgetSelection)), code, JSON.stringify(selection))
})

test('what cannot be read stops a plan', async (t) => {
  const store = new MemoryStore()
  const repo = await twinRepository(store)
  const first = await backUp(repo, [1, 2])
  const old = new Set(await objectNames(store, 'index/'))
  const second = await backUp(repo, [1, 3], { name: 'other' })
  const [segment] = (await objectNames(store, 'index/')).filter((name) => !old.has(name))
  // The pack of the second snapshot's nodes: chunks are not read for a plan.
  const written = decodeIndexSegment(segment!, await store.get(segment!), plainRecords)
  const entries = Array.from({ length: written.entryCount }, (_, i) => written.entry(i))
  const pack = packName(written.packs[entries.find(({ type }) => type === 1)!.pack]!.id)
  const plan = async (sizes = true): Promise<ForgetPlan> =>
    await (await Repository.open(store)).planForget({ policy: { keepLast: 1 }, name: 'disk' }, { sizes })
  const cases: [
    object: string,
    damage: (bytes: Uint8Array) => Uint8Array | undefined,
    code: RegExp,
    quick: boolean,
  ][] = [
    [`snapshots/${second.id}`, (bytes) => bytes.slice(0, -1), /ERR_CORRUPT_SNAPSHOT/, false],
    [pack, (bytes) => bytes.map((byte) => byte ^ 1), /ERR_CORRUPT_BLOB/, true],
    [pack, () => undefined, /ERR_(CORRUPT_PACK|NOT_FOUND|CORRUPT_BLOB|CHUNK_MISSING)/, true],
    [segment!, (bytes) => bytes.slice(0, -1), /ERR_CORRUPT_INDEX/, true],
    [segment!, () => undefined, /ERR_CHUNK_MISSING/, true],
  ]
  for (const [object, damage, code, quick] of cases) {
    const bytes = await store.get(object)
    await replaceObject(store, object, damage(bytes))
    t.match(await codeOf(plan()), code, object)
    t.match(await codeOf(plan(false)), quick ? /success/ : code, `${object}, without sizes`)
    await replaceObject(store, object, bytes)
  }
  t.equal(await codeOf(plan()), 'success')
  t.ok((await listed(repo)).includes(first.id))
})

test('progress is told, and an abort heard', async (t) => {
  const repo = await twinRepository(new MemoryStore())
  for (const seed of [1, 2, 3]) await backUp(repo, [seed, 4])
  const told: string[] = []
  const controller = new AbortController()
  await repo.planForget(
    { policy: { keepLast: 1 } },
    { onProgress: ({ done, total }) => told.push(`${done} of ${total}`) },
  )
  t.same(told, ['1 of 3', '2 of 3', '3 of 3'])
  const reason = new Error('enough')
  const aborted = repo.planForget(
    { policy: { keepLast: 1 } },
    { signal: controller.signal, onProgress: () => controller.abort(reason) },
  )
  t.equal(await aborted.catch((error: unknown) => error), reason)
  const plan = await repo.planForget({ policy: { keepLast: 1 } })
  const signal = AbortSignal.abort(reason)
  t.equal(await repo.applyForget(plan, { signal }).catch((error: unknown) => error), reason)
  t.equal((await listed(repo)).length, 3)
  await repo.close()
  t.equal(await codeOf(repo.planForget({ policy: { keepLast: 1 } })), 'ERR_CLOSED')
  t.equal(await codeOf(repo.applyForget(plan)), 'ERR_CLOSED')
})

// --- applying --------------------------------------------------------------------------------------------------

test('a plan is carried out: a tombstone for each, and what stays restores', async (t) => {
  const store = new MemoryStore()
  await using repo = await twinRepository(store)
  const made: Snapshot[] = []
  for (let n = 0; n < 12; n++) made.push(await backUp(repo, [n, n + 1, 0]))
  const plan = await repo.planForget({ policy: { keepLast: 2 } })
  const removed = plan.snapshots.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.id)
  t.equal(removed.length, 10)
  t.same(await repo.applyForget(plan), removed, 'in the order of the plan')
  t.same(await objectNames(store, 'forget/'), removed.map((id) => `forget/${id}`).sort())
  t.equal((await listed(repo)).length, 2)
  t.same(await repo.applyForget(plan), [], 'a second time there is nothing to do')
  t.same(
    (await repo.planForget({ policy: { keepLast: 2 } })).snapshots.map(({ keep }) => keep),
    [true, true],
  )
  for (const id of await listed(repo)) {
    const target = new MemoryTarget()
    await repo.restore(id, target, { workers: 0 })
    const n = made.findIndex((snapshot) => snapshot.id === id)
    t.ok(sameBytes(target.bytes, imageOf([n, n + 1, 0])))
  }
  t.same((await repo.check({ workers: 0 })).findings, [])
})

test('broken off at any write, a plan is carried out in part and can be finished', async (t) => {
  for (const when of ['before', 'after'] as const) {
    for (let writes = 0; writes < 6; writes++) {
      const faulty = new FaultStore(new MemoryStore())
      const repo = await twinRepository(faulty)
      for (let n = 0; n < 6; n++) await backUp(repo, [n])
      const plan = await repo.planForget({ policy: { keepLast: 1 } })
      const kept = plan.snapshots.find(({ keep }) => keep)!.snapshot.id
      faulty.crashAt({ afterOperations: writes, counting: 'changes', when })
      const outcome = await codeOf(repo.applyForget(plan))
      t.equal(outcome, writes < 5 ? 'ERR_STORE_IO' : 'success', `${when} write ${writes}`)
      faulty.heal()
      const again = await Repository.open(faulty)
      const left = await listed(again)
      t.ok(left.includes(kept))
      t.ok(left.length <= 6 - Math.min(writes, 5), `${left.length} left`)
      t.same((await again.check({ workers: 0 })).findings, [])
      t.equal((await again.applyForget(plan)).length, left.length - 1)
      t.same(await listed(again), [kept])
    }
  }
})

test('a plan that others have overtaken costs nothing', async (t) => {
  const store = new MemoryStore()
  await using repo = await twinRepository(store)
  const made: SnapshotId[] = []
  for (let n = 0; n < 4; n++) made.push((await backUp(repo, [n])).id)
  const plan = await repo.planForget({ policy: { keepLast: 1 } })
  const kept = plan.snapshots.find(({ keep }) => keep)!.snapshot.id
  const other = await Repository.open(store)
  await other.forget(kept)
  t.equal(await codeOf(repo.applyForget(plan)), 'ERR_INVALID_ARGUMENT', 'what it was to keep is gone')
  t.equal((await listed(repo)).length, 3, 'so all that is left stays')

  const fresh = await repo.planForget({ policy: { keepLast: 1 } })
  const [gone, last] = fresh.snapshots.map(({ snapshot }) => snapshot.id)
  await other.forget(gone!)
  await backUp(other, [9])
  t.same(
    await repo.applyForget(fresh),
    [last],
    'what another has forgotten is passed over; what is new stays',
  )
  t.equal((await listed(repo)).length, 2)

  const stranger = await twinRepository(new MemoryStore())
  await backUp(stranger, [1])
  t.equal(await codeOf(stranger.applyForget(fresh)), 'ERR_INVALID_ARGUMENT', 'a plan of another repository')
  t.equal((await listed(stranger)).length, 1)
})

test('a store that can only be read allows plans and nothing more', async (t) => {
  const store = new MemoryStore()
  for (let n = 0; n < 2; n++)
    await backUp(n === 0 ? await twinRepository(store) : await Repository.open(store), [n])
  const readable: ReadableStore = {
    label: 'read only',
    get: (...given) => store.get(...given),
    getRange: (...given) => store.getRange(...given),
    stat: (...given) => store.stat(...given),
    list: (...given) => store.list(...given),
    close: async () => {},
  }
  const repo = await Repository.open(readable)
  const plan = await repo.planForget({ policy: { keepLast: 1 } })
  t.ok(plan.bytesFreed! > 0)
  t.equal(await codeOf(repo.applyForget(plan)), 'ERR_STORE_UNSUPPORTED')
})
