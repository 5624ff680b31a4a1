// Prune: what goes, what stays, and what happens when it is interrupted or short of space.
import {
  type BlockSource,
  newSessionId,
  PlatterError,
  type SnapshotId,
  type SpaceReserve,
  type WritableStore,
} from '@platter/core'
import { MemorySource, MemoryStore } from '@platter/fs-adapters'
import { FaultStore } from '@platter/fs-adapters/testing'
import { type PruneOptions, type PruneReport, type Removal, Repository } from '@platter/repo'
import { test } from 'tap'
import { Liveness } from '../dist/prune/writers.js'
import {
  assertSound,
  backUp,
  codeOf,
  collected,
  copyOf,
  diskImage,
  ENCRYPTED,
  KEY_FILE,
  newRepository,
  noise,
  objectNames,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
  sourceFrom,
} from './adversity.ts'
import { ForgetfulStore, interruptedAt, SteppedStore } from './interleaving.ts'

/** Takes every writer that has not committed for dead at once. */
const NOW: PruneOptions = { patienceSeconds: 0 }

test('what no snapshot needs goes, what one needs stays', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const first = diskImage('first')
  const second = Uint8Array.from(first)
  second.set(noise('changed', 70_000), 0)
  const a = await backUp(repo, first)
  const b = await backUp(repo, second)
  t.match(await repo.prune(undefined, NOW), { outcome: 'nothing', packsRemoved: 0 })
  await repo.forget(a.id)
  const plan = await repo.planPrune(NOW)
  t.ok(plan.packs.length > 0)
  t.ok(plan.unusedFractionBefore > 0.05 && plan.unusedFractionAfter <= 0.05, `${plan.unusedFractionAfter}`)
  const report = await repo.prune(undefined, NOW)
  t.match(report, { outcome: 'done', packsRemoved: plan.packs.length })
  await assertSound(t, store, new Map([[b.id, second]]), 'after the prune')
  await repo.forget(b.id)
  await repo.forget('latest')
  t.match(await repo.prune(undefined, NOW), { outcome: 'done' })
  t.same(await objectNames(store, 'packs/'), [])
  t.same(await objectNames(store, 'index/'), [])
  t.same(await objectNames(store, 'sessions/'), [])
})

test('a prune that dies at any change of the store is finished by the next', async (t) => {
  const original = new MemoryStore()
  const repo = await newRepository(original)
  const images = [diskImage('one', 150_000), diskImage('two', 150_000)]
  images.push(Uint8Array.from(images[1]!))
  images[2]!.set(noise('new', 30_000), 10_000)
  const snapshots = [
    await backUp(repo, images[0]!),
    await backUp(repo, images[1]!),
    await backUp(repo, images[2]!),
  ]
  await repo.forget(snapshots[0]!.id)
  await repo.forget(snapshots[1]!.id)
  const had = new Map([[snapshots[2]!.id, images[2]!]])
  let sizeAfter = 0
  for (const when of ['before', 'after'] as const) {
    for (let changes = 0; ; changes++) {
      const store = await copyOf(original)
      const faults = new FaultStore(store)
      faults.crashAt({ afterOperations: changes, counting: 'changes', when })
      const died = await (await Repository.open(faults)).prune(undefined, NOW).then(
        () => false,
        () => true,
      )
      const again = await Repository.open(store)
      if (died) {
        if (!sameBytes(await restored(again, snapshots[2]!.id), images[2]!)) t.fail(`${changes}: lost`)
      }
      await again.prune(undefined, NOW)
      await again.prune(undefined, NOW)
      const packs = await objectNames(store, 'packs/')
      if (!died && when === 'before') sizeAfter = packs.length
      const { findings } = await again.check({ readData: true, workers: 0 })
      t.same(findings, [], `${when} ${changes}`)
      if (!sameBytes(await restored(again, snapshots[2]!.id), images[2]!)) t.fail(`${changes}: lost after`)
      const { unusedFractionAfter } = await again.planPrune(NOW)
      t.ok(unusedFractionAfter <= 0.05)
      if (!died) break
      if (changes % 5 === 0) await assertSound(t, store, had, `${when} ${changes}`)
    }
  }
  t.ok(sizeAfter > 0)
})

/** A repository with one snapshot that needs a part of most packs. */
async function partlyNeeded(
  store: MemoryStore,
): Promise<{ repo: Repository; id: SnapshotId; image: Uint8Array }> {
  const repo = await newRepository(store)
  const image = noise('partly', 600_000)
  const whole = await backUp(repo, image)
  const changed = Uint8Array.from(image)
  for (let at = 0; at < image.length; at += 40_000) changed.set(noise(`${at}`, 20_000), at)
  const { id } = await backUp(repo, changed)
  await repo.forget(whole.id)
  return { repo, id, image: changed }
}

test('packs needed in part are emptied until the bound, and no more than the work allows', async (t) => {
  const store = new MemoryStore()
  const { repo, id, image } = await partlyNeeded(store)
  const { unusedFractionBefore } = await repo.planPrune(NOW)
  t.ok(unusedFractionBefore > 0.2)
  t.match(await repo.prune(undefined, { ...NOW, maxUnusedFraction: 1 }), { bytesRepacked: 0 })

  const maxRepackBytes = 60_000
  const first = await repo.prune(undefined, { ...NOW, maxRepackBytes })
  t.ok(first.bytesRepacked > 0 && first.bytesRepacked <= maxRepackBytes)
  for (let run = 0; run < 30; run++) {
    const report = await repo.prune(undefined, { ...NOW, maxRepackBytes })
    t.ok(report.bytesRepacked <= maxRepackBytes)
    if (report.outcome === 'nothing') break
  }
  const { unusedFractionAfter } = await repo.planPrune(NOW)
  t.ok(unusedFractionAfter <= 0.05, `${unusedFractionAfter}`)
  await assertSound(t, store, new Map([[id, image]]), 'in steps')
})

test('a prune by a plan removes nothing else, and tells of all it removes', async (t) => {
  const store = new MemoryStore()
  const { repo, id, image } = await partlyNeeded(store)
  const plan = await repo.planPrune(NOW)
  const chosen = { ...plan, packs: plan.packs.slice(0, 2) }
  const removed: Removal[] = []
  const before = new Set(await objectNames(store))
  const report = await repo.prune(chosen, { ...NOW, onRemove: (removal) => removed.push(removal) })
  t.equal(report.packsRemoved, 2)
  const after = new Set(await objectNames(store))
  const gone = [...before].filter((name) => !after.has(name) && !name.startsWith('sessions/')).sort()
  t.same(removed.map(({ object }) => object).sort(), gone)
  t.same(
    gone.filter((name) => name.startsWith('packs/')).sort(),
    chosen.packs.map(({ id }) => `packs/${id.slice(0, 2)}/${id}`).sort(),
  )
  await assertSound(t, store, new Map([[id, image]]), 'by a plan')
})

test('a listing that is cut, or anything that cannot be read, stops a prune before it removes anything', async (t) => {
  const original = new MemoryStore()
  const { id, image } = await partlyNeeded(original)
  const calls = await (async () => {
    const faults = new FaultStore(await copyOf(original))
    await (await Repository.open(faults)).prune(undefined, NOW)
    return faults.log.filter(({ operation }) => operation !== 'putIfAbsent' && operation !== 'delete')
  })()
  const counts = new Map<string, number>()
  for (const { operation, name } of calls) {
    if (operation === 'stat' || name === 'config') continue
    const key = `${operation} ${name}`
    const nth = (counts.get(key) ?? 0) + 1
    counts.set(key, nth)
    if (operation === 'getRange' && nth > 1) continue
    const store = await copyOf(original)
    const faults = new FaultStore(store)
    faults.inject({
      operation,
      name: new RegExp(`^${name}$`),
      nth,
      fault: operation === 'list' ? { kind: 'cut-list', afterItems: 1 } : { kind: 'error' },
    })
    const repo = await Repository.open(new FaultStore(store))
    t.equal(await codeOf((await Repository.open(faults)).prune(undefined, NOW)), 'ERR_STORE_IO', key)
    if (!sameBytes(await restored(repo, id), image)) t.fail(`${key}: lost`)
    const deletes = faults.log.filter(({ operation }) => operation === 'delete')
    const sweeps = (await objectNames(store, 'gc/')).filter((object) => object.endsWith('.sweep'))
    t.ok(deletes.length === 0 || sweeps.length === 1, `${key}: nothing goes that no sweep names`)
  }
  const damaged = await copyOf(original)
  const [snapshot] = (await objectNames(damaged, 'snapshots/')).filter((name) => name.endsWith(id))
  await replaceObject(damaged, snapshot!, new Uint8Array(400))
  const packs = await objectNames(damaged, 'packs/')
  t.equal(await codeOf((await Repository.open(damaged)).prune(undefined, NOW)), 'ERR_CORRUPT_SNAPSHOT')
  t.same(await objectNames(damaged, 'packs/'), packs)
  const lacking = await copyOf(original)
  await replaceObject(lacking, (await objectNames(lacking, 'packs/'))[0]!, undefined)
  const left = await objectNames(lacking, 'packs/')
  const code = await codeOf((await Repository.open(lacking)).prune(undefined, NOW))
  t.ok(code === 'ERR_CHUNK_MISSING' || code === 'ERR_NOT_FOUND' || code === 'success', code)
  if (code !== 'success') t.same(await objectNames(lacking, 'packs/'), left)
})

test('a store that does not list a prune that has begun takes no backup', async (t) => {
  const original = new MemoryStore()
  const { image } = await partlyNeeded(original)
  const dying = new FaultStore(original)
  dying.inject({ operation: 'putIfAbsent', name: /sweep$/, fault: { kind: 'error' } })
  await codeOf((await Repository.open(dying)).prune(undefined, NOW))
  const snapshots = await objectNames(original, 'snapshots/')
  const stale = new ForgetfulStore(original, (name) => name === 'gc/1.mark')
  t.equal(await codeOf(backUp(await Repository.open(stale), image)), 'ERR_STORE_IO')
  t.same(await objectNames(original, 'snapshots/'), snapshots)
  let listings = 0
  // It only comes late.
  const late = new ForgetfulStore(original, (name) => name === 'gc/1.mark' && ++listings < 4)
  await backUp(await Repository.open(late), image)
  t.equal((await objectNames(original, 'snapshots/')).length, snapshots.length + 1)
})

test('a prune removes nothing when a snapshot that was listed is not any more', async (t) => {
  const store = new MemoryStore()
  const { id } = await partlyNeeded(store)
  const packs = await objectNames(store, 'packs/')
  let isMarked = false
  const forgetful = new ForgetfulStore(store, (name) => {
    isMarked ||= name === 'gc/1.mark'
    return isMarked && name === `snapshots/${id}`
  })
  t.equal(await codeOf((await Repository.open(forgetful)).prune(undefined, NOW)), 'ERR_STORE_IO')
  t.same(await objectNames(store, 'packs/'), packs)
  t.match(await (await Repository.open(store)).prune(undefined, NOW), { outcome: 'done' })
})

test('no prune waits for a session that failed while it was declared', async (t) => {
  for (const failing of ['list gc/', 'stat gc/1.mark']) {
    const store = new MemoryStore()
    await partlyNeeded(store)
    let isDeclared = false
    const slow = new SteppedStore(store, async (call) => {
      isDeclared ||= call.startsWith('put sessions/')
      if (isDeclared && call === failing) throw new PlatterError('ERR_STORE_IO', 'not now')
    })
    t.equal(await codeOf(backUp(await Repository.open(slow), noise('new', 5000))), 'ERR_STORE_IO')
    t.ok(isDeclared)
    t.equal((await (await Repository.open(store)).prune()).outcome, 'done', failing)
  }
})

test('a damaged blob is never moved', async (t) => {
  const store = new MemoryStore()
  const { repo, id } = await partlyNeeded(store)
  const { packs } = await repo.planPrune({ ...NOW, maxUnusedFraction: 0 })
  const victim = packs.find(({ fate, usedBytes }) => fate === 'repack' && usedBytes > 8000)!
  const name = `packs/${victim.id.slice(0, 2)}/${victim.id}`
  const bytes = await store.get(name)
  for (let at = 100; at < bytes.length - 3000; at += 50) bytes[at]! ^= 1
  await replaceObject(store, name, bytes)
  const report = await (await Repository.open(store)).prune(undefined, { ...NOW, maxUnusedFraction: 0 })
  t.equal(report.packsKept, 1)
  t.ok((await objectNames(store, 'packs/')).includes(name))
  t.equal(await codeOf(restored(await Repository.open(store), id)), 'ERR_CORRUPT_BLOB')
})

test('of two copies, one in a pack that was cut or is gone is not the one to be kept', async (t) => {
  const original = new MemoryStore()
  const image = noise('twice', 150_000)
  await newRepository(original)
  // Two backups at once: both find the data new, and store it.
  const { store: slow } = interruptedAt(original, 12, async () => {
    await backUp(await Repository.open(original), image, { name: 'second' })
  })
  await backUp(await Repository.open(slow), image, { name: 'first' })
  const packs = await objectNames(original, 'packs/')
  t.ok(packs.length >= 4, 'everything is there twice')
  for (const [name, sizeBytes] of packs.flatMap((pack) => [[pack, 100] as const, [pack, 0] as const])) {
    const store = await copyOf(original)
    const cut = (await store.get(name)).subarray(0, sizeBytes)
    await replaceObject(store, name, sizeBytes === 0 ? undefined : cut)
    await (await Repository.open(store)).prune(undefined, { ...NOW, maxUnusedFraction: 0 })
    const repo = await Repository.open(store)
    for await (const { id } of repo.snapshots()) t.ok(sameBytes(await restored(repo, id), image), name)
  }
})

/** A store with room for so many bytes, a part of which it can keep back. */
class SmallStore extends MemoryStore implements SpaceReserve {
  capacityBytes = Number.POSITIVE_INFINITY
  reservedBytes = 0

  async usedBytes(): Promise<number> {
    let sum = this.reservedBytes
    for await (const { sizeBytes } of this.list('')) sum += sizeBytes
    return sum
  }

  override async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    if ((await this.usedBytes()) + bytes > this.capacityBytes)
      throw new PlatterError('ERR_STORE_FULL', 'The store is full.')
    return await super.putIfAbsent(name, parts)
  }

  async keepReserve(): Promise<void> {
    if (this.reservedBytes === 0 && (await this.usedBytes()) + 8000 > this.capacityBytes)
      throw new PlatterError('ERR_STORE_FULL', 'The store is full.')
    this.reservedBytes = 8000
  }

  async releaseReserve(): Promise<boolean> {
    const had = this.reservedBytes > 0
    this.reservedBytes = 0
    return had
  }
}

test('a store that is full can be pruned', async (t) => {
  const store = new SmallStore()
  const { repo, id, image } = await partlyNeeded(store)
  const garbage = await backUp(repo, noise('garbage', 200_000), { name: 'garbage' })
  await repo.forget(garbage.id)
  await store.keepReserve()
  store.capacityBytes = (await store.usedBytes()) + 10
  const report = await repo.prune(undefined, NOW)
  t.match(report, { outcome: 'done', bytesRepacked: 0 })
  t.ok(report.bytesRemoved > 200_000)
  t.equal(store.reservedBytes, 8000)
  t.ok((await repo.prune(undefined, NOW)).bytesRepacked > 0, 'now there is space to repack')
  t.ok(sameBytes(await restored(repo, id), image))
  store.capacityBytes = Number.POSITIVE_INFINITY
  await assertSound(t, store, new Map([[id, image]]), 'after it was full')
})

test('what a store cannot do, and what cannot be asked for', async (t) => {
  const inner = new MemoryStore()
  const { repo } = await partlyNeeded(inner)
  const store: WritableStore = {
    label: 'append-only',
    get: (...args) => inner.get(...args),
    getRange: (...args) => inner.getRange(...args),
    stat: (...args) => inner.stat(...args),
    list: (...args) => inner.list(...args),
    putIfAbsent: (...args) => inner.putIfAbsent(...args),
    close: async () => {},
  }
  t.equal(await codeOf((await Repository.open(store)).prune()), 'ERR_STORE_UNSUPPORTED')
  t.ok((await (await Repository.open(store)).planPrune()).packs.length > 0)
  for (const options of [
    { maxUnusedFraction: -1 },
    { maxUnusedFraction: 2 },
    { maxRepackBytes: Number.NaN },
    { patienceSeconds: -1 },
  ])
    t.equal(await codeOf(repo.prune(undefined, options)), 'ERR_INVALID_ARGUMENT')
})

/** A source that stops for good, or for as long as a promise takes, before it reads at some place. */
function stopping(image: Uint8Array, at: number, meanwhile: () => Promise<void>): BlockSource {
  const inner = new MemorySource(image)
  let met = false
  return sourceFrom(
    {
      read: async (offset, into, options) => {
        if (offset >= at && !met) {
          met = true
          await meanwhile()
        }
        return await inner.read(offset, into, options)
      },
    },
    image,
  )
}

test('a backup that is interrupted goes on from its checkpoint, whatever is pruned meanwhile', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = noise('a long backup', 2_000_000)
  const died = new Error('pulled the plug')
  const source = stopping(image, 1_500_000, async () => {
    throw died
  })
  const options = { workers: 0, name: 'long', host: 'here', checkpointBytes: 200_000 }
  await t.rejects(repo.backup(source, options))
  t.same(await collected(repo.snapshots()), [])
  t.equal(await codeOf(repo.snapshot('latest')), 'ERR_SNAPSHOT_NOT_FOUND')
  const checkpoints = await collected(repo.snapshots({ checkpoints: true }))
  t.equal(checkpoints.length, 1, 'one checkpoint stands, those before it are forgotten')
  const { id, volumes, checkpoint } = checkpoints[0]!
  t.ok(checkpoint)
  const { sizeBytes } = volumes[0]!
  t.ok(sizeBytes > 500_000 && sizeBytes < image.length)
  t.ok(
    sameBytes(await restored(repo, id), image.subarray(0, sizeBytes)),
    'a checkpoint is the beginning of the image',
  )
  for (let run = 0; run < 3; run++) await repo.prune(undefined, NOW)
  const resumed = await repo.backup(new MemorySource(image), { ...options, checkpointBytes: 10 ** 9 })
  t.equal(resumed.stats.bytesRead, image.length)
  t.equal(resumed.stats.bytesNew, image.length - sizeBytes)
  t.ok(resumed.stats.bytesStored < (image.length - sizeBytes) * 1.1)
  t.match(await repo.prune(undefined, NOW), { checkpointsForgotten: 1 })
  t.same(
    (await collected(repo.snapshots({ checkpoints: true }))).map((snapshot) => snapshot.id),
    [resumed.id],
  )
  await assertSound(t, store, new Map([[resumed.id, image]]), 'resumed')
})

test('checkpoints and prunes at every place of a backup', async (t) => {
  const image = noise('checkpointed', 900_000)
  const original = new MemoryStore()
  await newRepository(original)
  for (let call = 0; ; call += 3) {
    const store = await copyOf(original)
    const pruner = await Repository.open(store)
    const { store: slow, calls } = interruptedAt(store, call, async () => {
      await pruner.prune()
      const all = await collected(pruner.snapshots({ checkpoints: true }))
      const first = all.find(({ checkpoint }) => checkpoint)
      if (first !== undefined) await pruner.forget(first.id)
      await pruner.prune()
    })
    const { id } = await backUp(await Repository.open(slow), image, { checkpointBytes: 150_000 })
    await pruner.prune(undefined, NOW)
    await pruner.prune(undefined, NOW)
    t.equal((await collected(pruner.snapshots({ checkpoints: true }))).length, 1)
    await assertSound(t, store, new Map([[id, image]]), `at call ${call}`)
    if (calls() <= call) break
  }
})

test('checkpoints with worker threads', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = diskImage('threads', 3_000_000)
  const { id } = await backUp(repo, image, { workers: 2, checkpointBytes: 100_000 })
  const sessions = (await objectNames(store, 'forget/')).length
  t.ok(sessions >= 2, `${sessions} checkpoints`)
  await repo.prune(undefined, NOW)
  await assertSound(t, store, new Map([[id, image]]), 'threads')
})

test('a backup that lives is waited for; one that is silent is not', async (t) => {
  const store = new MemoryStore()
  const { repo } = await partlyNeeded(store)
  let clock = Date.now()
  let step = 0
  const options = { patienceSeconds: 3600, pollMillis: 1 }
  const pruner = await Repository.open(store, {
    now: () => {
      clock += step
      return new Date(clock)
    },
  })
  const signs = async (): Promise<number> => (await objectNames(store, 'sessions/')).length
  let report: Promise<unknown> | undefined
  const living = stopping(noise('living', 200_000), 0, async () => {
    report = pruner.prune(undefined, { ...options, wait: true })
    // Two hours, with a sign of life every ten minutes.
    for (let sign = 0; sign < 12; sign++) {
      const before = await signs()
      while ((await signs()) === before) await new Promise((resolve) => setTimeout(resolve, 1))
      clock += 600_000
    }
  })
  const alive = await repo.backup(living, { workers: 0, name: 'alive', heartbeatSeconds: 0.002 })
  t.match(await report, { outcome: 'done', sessionsFenced: [] })
  t.ok(await repo.snapshot(alive.id))

  step = 600_000
  const silent = stopping(noise('silent', 200_000), 0, async () => {
    await repo.forget(alive.id)
    t.match(await pruner.prune(undefined, { ...options, wait: true }), {
      outcome: 'done',
      sessionsFenced: { length: 1 },
    })
  })
  t.equal(await codeOf(repo.backup(silent, { workers: 0, name: 'silent' })), 'ERR_SESSION_FENCED')

  let ended = false
  let heardOfIt = true
  const long = stopping(noise('long', 200_000), 0, async () => {
    await pruner.prune(undefined, { ...options, patienceSeconds: 0 })
    for (let tries = 0; !ended && heardOfIt; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      heardOfIt = tries < 1000
    }
  })
  const running = repo.backup(long, { workers: 0, name: 'long', heartbeatSeconds: 0.001 })
  t.equal(await codeOf(running), 'ERR_SESSION_FENCED')
  ended = true
  t.ok(heardOfIt, 'a backup hears that it was ended while it runs')
})

test('a backup that failed need not be waited for', async (t) => {
  const store = new MemoryStore()
  const { repo } = await partlyNeeded(store)
  const failing = stopping(noise('failing', 200_000), 100_000, async () => {
    throw new Error('no more')
  })
  await t.rejects(repo.backup(failing, { workers: 0 }))
  t.match(await repo.prune(), { outcome: 'done', sessionsFenced: { length: 1 } })
})

test('a collector whose clock was ahead does not keep a dead session alive', async (t) => {
  const liveness = new Liveness(1000)
  const session = newSessionId()
  const isDead = (nowMillis: number): boolean =>
    liveness.isDead({ id: session, generation: 0, intent: 0, timeMillis: undefined, ended: false }, nowMillis)
  const openSessions = [{ session, intent: 0 }]
  liveness.observe({ timeMillis: 5_000_000, openSessions })
  liveness.observe({ timeMillis: 10_000, openSessions })
  t.notOk(isDead(10_999))
  t.ok(isDead(11_000))
})

test('packs that nothing lists go once their writers have', async (t) => {
  const store = new MemoryStore()
  const { repo } = await partlyNeeded(store)
  const faults = new FaultStore(store)
  faults.crashAt({ afterOperations: 4, counting: 'changes' })
  await t.rejects(backUp(await Repository.open(faults), noise('died', 500_000)))
  const had = await objectNames(store, 'packs/')
  const plan = await repo.planPrune(NOW)
  t.ok(plan.packs.some(({ fate }) => fate === 'unlisted'))
  await repo.prune(undefined, NOW)
  for (const { id } of plan.packs.filter(({ fate }) => fate === 'unlisted')) {
    const name = `packs/${id.slice(0, 2)}/${id}`
    t.ok(had.includes(name) && !(await objectNames(store, 'packs/')).includes(name))
  }
})

test('many small backups end up in few packs and segments', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const had = new Map<SnapshotId, Uint8Array>()
  for (let i = 0; i < 40; i++) {
    const image = noise(`small ${i}`, 5000)
    had.set((await backUp(repo, image, { name: `small ${i}` })).id, image)
  }
  const before = await objectNames(store)
  await repo.prune(undefined, NOW)
  const after = await objectNames(store)
  const count = (names: readonly string[], prefix: string): number =>
    names.filter((name) => name.startsWith(prefix)).length
  t.ok(count(after, 'packs/') < count(before, 'packs/') / 4)
  t.ok(count(after, 'index/') < 4)
  await assertSound(t, store, had, 'merged')
})

test('small packs that are full are merged, once', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const images = new Map<SnapshotId, Uint8Array>()
  for (let i = 0; i < 20; i++) {
    const image = noise(`small ${i}`, 15_800)
    images.set((await backUp(repo, image, { name: `disk ${i}` })).id, image)
  }
  const all = { ...NOW, maxUnusedFraction: 0 }
  const { outcome, packsRemoved } = await repo.prune(undefined, all)
  t.equal(outcome, 'done')
  t.ok(packsRemoved >= 32, `${packsRemoved}`)
  t.equal((await repo.prune(undefined, all)).outcome, 'nothing')
  await assertSound(t, store, images, 'merged')
})

test('a pack of which hardly anything is garbage is not condemned again and again', async (t) => {
  const store = new MemoryStore()
  const chunker = { kind: 'fixed', minBytes: 8192, averageBytes: 8192, maxBytes: 8192 } as const
  const repo = await newRepository(store, { ...SETTINGS, packBytes: 1024 * 1024, chunker })
  const first = noise('nearly all needed', 1_000_000)
  const second = Uint8Array.from(first)
  second.set(noise('a block', 4096), 40_960)
  const { id } = await backUp(repo, first)
  await backUp(repo, second, { name: 'second' })
  await repo.forget(id)
  const all = { ...NOW, maxUnusedFraction: 0 }
  await repo.prune(undefined, all)
  const plan = await repo.planPrune(all)
  t.ok(plan.unusedFractionBefore > 0, 'there is garbage')
  t.same(plan.packs, [])
  t.equal((await repo.prune(undefined, all)).outcome, 'nothing')
})

test('an index segment that arrives when its packs are gone goes by the next prune', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, diskImage('late'))
  const [name] = await objectNames(store, 'index/')
  const late = await store.get(name!)
  await repo.forget(id)
  await repo.prune(undefined, NOW)
  await store.putIfAbsent(name!, [late])
  t.equal((await repo.prune(undefined, NOW)).outcome, 'done')
  t.same(await objectNames(store, 'index/'), [])
  t.equal((await repo.prune(undefined, NOW)).outcome, 'nothing')
})

test('blobs of an encrypted repository are moved to other packs, sealed anew for them', async (t) => {
  for (const codec of ['none', 'lz4'] as const) {
    const store = new MemoryStore()
    await Repository.init(store, ENCRYPTED)
    const repo = await Repository.open(store, { keyFile: KEY_FILE, codec })
    const had = new Map<SnapshotId, Uint8Array>()
    const forgotten: SnapshotId[] = []
    const image = diskImage('encrypted', 400_000)
    for (let version = 0; version < 6; version++) {
      image.set(noise(`version ${version}`, 30_000), version * 50_000)
      const { id } = await backUp(repo, image)
      if (version % 2 === 0) forgotten.push(id)
      else had.set(id, image.slice())
    }
    for (const id of forgotten) await repo.forget(id)
    const report = await repo.prune(undefined, { ...NOW, maxUnusedFraction: 0 })
    t.match(report, { outcome: 'done' })
    t.ok(report.bytesRepacked > 0 && report.packsRemoved > 0, `${report.bytesRepacked} bytes`)
    t.equal((await repo.planPrune({ ...NOW, maxUnusedFraction: 0 })).packs.length, 0)
    // By the repository that was open all the time, too: what it knew of the index is out of date.
    for (const [id, bytes] of had) t.ok(sameBytes(await restored(repo, id), bytes))
    await assertSound(t, store, had, codec)
  }
})

test('what a repair of the index has listed is listed for good by the next prune', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const image = diskImage('repaired')
  const { id } = await backUp(repo, image)
  for (const name of await objectNames(store, 'index/')) await store.delete(name)
  t.match(await repo.repairIndex(), { packsUnlisted: [], segmentsWritten: 1 })
  t.match(await repo.prune(undefined, NOW), { outcome: 'done', packsRemoved: 0 })
  t.same(await objectNames(store, 'sessions/'), [])
  t.match(await repo.prune(undefined, NOW), { outcome: 'nothing' })
  const again = await backUp(repo, image)
  t.equal(again.stats.chunksNew, 0, 'writers rely on it')
  await assertSound(
    t,
    store,
    new Map([
      [id, image],
      [again.id, image],
    ]),
    'after both',
  )
})

test('packs that a repair has put aside stay, and nothing that was saved from them goes', async (t) => {
  for (const settings of [SETTINGS, ENCRYPTED]) {
    const store = new MemoryStore()
    const repo = await newRepository(store, settings)
    const image = diskImage('to be damaged')
    const { id } = await backUp(repo, image)
    const [damaged] = await objectNames(store, 'packs/')
    const bytes = await store.get(damaged!)
    // In the directory: all blobs are intact.
    bytes[bytes.length - 60]! ^= 1
    await replaceObject(store, damaged!, bytes)
    t.match(await repo.repairPacks({ workers: 0 }), { packsDamaged: [{ object: damaged, blobsLost: 0 }] })
    const plan = await repo.planPrune(NOW)
    t.equal(plan.quarantined.length, 1)
    t.same(plan.packs, [])
    await repo.prune(undefined, NOW)
    t.ok((await objectNames(store, 'packs/')).includes(damaged!))
    await repo.forget((await backUp(repo, diskImage('another'))).id)
    t.match(await repo.prune(undefined, NOW), { outcome: 'done' })
    t.ok((await objectNames(store, 'packs/')).includes(damaged!))
    await assertSound(t, store, new Map([[id, image]]), 'after the prunes')
  }
})

test('a repair beside a prune: one waits for the other', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const kept = diskImage('kept')
  const { id } = await backUp(repo, kept)
  await repo.forget((await backUp(repo, diskImage('gone'))).id)
  let during: Promise<unknown> | undefined
  let pending: PruneReport | undefined
  await repo.repairPacks({
    workers: 0,
    progressMillis: 0,
    onProgress: () => {
      during ??= repo.prune().then((report) => {
        pending = report
      })
    },
  })
  await during
  t.equal(pending?.outcome === 'pending' ? pending.waitingFor.length : 1, 1)
  t.match(await repo.prune(undefined, NOW), { outcome: pending?.outcome === 'pending' ? 'done' : 'nothing' })
  await assertSound(t, store, new Map([[id, kept]]), 'after both')
})
