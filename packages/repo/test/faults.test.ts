import { setTimeout as delay } from 'node:timers/promises'
import {
  type ErrorCode,
  encodeRecord,
  PlatterError,
  plainRecords,
  RECORD_TYPE,
  type SnapshotId,
  type Store,
  type StoreCallOptions,
  sealRecord,
  systemRandom,
} from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import {
  FaultSource,
  FaultStore,
  type LoggedOperation,
  type StoreOperation,
} from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { packName } from '../dist/format/object-names.js'
import { PackUploader } from '../dist/pack/pack-uploader.js'
import {
  assertSound,
  backUp,
  codeOf,
  collected,
  copyOf,
  diskImage,
  ENCRYPTED,
  newRepository,
  noise,
  objectNames,
  openRepository,
  rejection,
  restored,
  SETTINGS,
  sameBytes,
  unhandled,
} from './adversity.ts'

const OLD = diskImage('old')
const NEW = diskImage('new')

/** A store with one snapshot, and what its snapshots must restore to. */
async function storeWithSnapshot(
  settings = SETTINGS,
): Promise<{ store: MemoryStore; had: Map<SnapshotId, Uint8Array> }> {
  const store = new MemoryStore()
  const { id } = await backUp(await newRepository(store, settings), OLD)
  return { store, had: new Map([[id, OLD]]) }
}

/** The calls a backup makes when nothing goes wrong. */
async function callsOfBackup(store: MemoryStore): Promise<LoggedOperation[]> {
  const faulty = new FaultStore(await copyOf(store))
  const repo = await openRepository(faulty)
  faulty.log.length = 0
  await backUp(repo, NEW)
  return faulty.log
}

for (const settings of [SETTINGS, ENCRYPTED]) {
  test(`any one store call of a backup fails: it says so, and nothing else happens (${settings.crypto})`, {
    timeout: 120_000,
  }, async (t) => {
    const { store, had } = await storeWithSnapshot(settings)
    const calls = await callsOfBackup(store)
    const codes: ErrorCode[] = ['ERR_STORE_IO', 'ERR_STORE_FULL', 'ERR_STORE_ACCESS']
    for (const operation of ['get', 'list', 'putIfAbsent'] as const) {
      const count = calls.filter((call) => call.operation === operation).length
      t.ok(count >= 2, `a backup calls ${operation}`)
      for (let nth = 1; nth <= count; nth++) {
        for (const when of ['before', 'after'] as const) {
          const what = `${operation} ${nth} of ${count} fails ${when} its effect`
          const faulty = new FaultStore(await copyOf(store))
          const repo = await openRepository(faulty)
          const error = new PlatterError(codes[nth % codes.length]!, `injected: ${what}`)
          faulty.inject({ operation, nth, fault: { kind: 'error', when, error } })
          t.equal(await rejection(backUp(repo, NEW)), error, what)
          faulty.heal()
          const isCommit = operation === 'putIfAbsent' && nth === count
          const { committed } = await assertSound(t, faulty, had, what, isCommit ? NEW : undefined)
          if (isCommit) t.equal(committed, when === 'after' ? 1 : 0, `${what}: the commit is all or nothing`)
        }
      }
    }
  })

  test(`a store dies for good at any call of a backup (${settings.crypto})`, {
    timeout: 120_000,
  }, async (t) => {
    const { store, had } = await storeWithSnapshot(settings)
    const { length } = await callsOfBackup(store)
    t.ok(length > 10, `${length} calls`)
    for (let calls = 0; calls < length; calls++) {
      for (const when of ['before', 'after'] as const) {
        const workers = calls % 5 === 2 && when === 'after' ? 2 : 0
        const what = `dead after ${calls} calls, ${when}, ${workers} workers`
        const faulty = new FaultStore(await copyOf(store))
        const repo = await openRepository(faulty)
        faulty.crashAt({ afterOperations: calls, when })
        const code = await codeOf(backUp(repo, NEW, { workers }))
        // With threads the order of calls, and so the last one, is not always the same.
        if (workers === 0) t.equal(code, 'ERR_STORE_IO', what)
        faulty.heal()
        await assertSound(t, faulty, had, what, NEW)
      }
    }
  })
}

test('the answer to the commit is lost: the error is told, and the snapshot stands', async (t) => {
  const { store } = await storeWithSnapshot()
  const faulty = new FaultStore(store)
  const repo = await Repository.open(faulty)
  faulty.inject({ operation: 'putIfAbsent', name: /^snapshots\//, fault: { kind: 'error', when: 'after' } })
  t.equal(await codeOf(backUp(repo, NEW, { name: 'lost' })), 'ERR_STORE_IO')
  t.ok(sameBytes(await restored(repo, 'latest:lost'), NEW))
})

test('what was indexed before a crash is not stored again', async (t) => {
  const store = new FaultStore(new MemoryStore())
  const repo = await newRepository(store)
  store.inject({ operation: 'putIfAbsent', name: /^snapshots\//, fault: { kind: 'error' } })
  t.equal(await codeOf(backUp(repo, NEW)), 'ERR_STORE_IO')
  const { stats } = await backUp(await Repository.open(store), NEW)
  t.equal(stats.bytesNew, 0)
  t.ok(stats.chunksKnown > 5)
})

/** A store in which names may have to be settled, and in what order that was asked for beside what was created. */
class SettlingStore extends MemoryStore {
  readonly calls: string[] = []

  async settle(prefix: string): Promise<void> {
    this.calls.push(`settle ${prefix}`)
  }

  override async putIfAbsent(
    ...args: Parameters<MemoryStore['putIfAbsent']>
  ): ReturnType<MemoryStore['putIfAbsent']> {
    this.calls.push(`put ${args[0]}`)
    return await super.putIfAbsent(...args)
  }
}

test('what a writer left that did not commit is made durable before a backup relies on it, or a prune or repair', async (t) => {
  const store = new SettlingStore()
  const repo = await newRepository(store)
  const dying = new FaultStore(store)
  dying.inject({ operation: 'putIfAbsent', name: /^snapshots\//, fault: { kind: 'error' } })
  await codeOf(backUp(await Repository.open(dying), OLD))
  const [segment] = await objectNames(store, 'index/')
  const assertBefore = (first: string, then: RegExp): void => {
    const calls = store.calls.splice(0)
    const at = calls.indexOf(first)
    t.ok(at >= 0 && at < calls.findIndex((call) => then.test(call)), `${first}: ${calls}`)
  }
  store.calls.length = 0
  const { stats } = await backUp(repo, OLD)
  t.equal(stats.chunksNew, 0, 'it relied on what was left')
  assertBefore(`settle ${segment!.replace(/000000$/, '')}`, /^put snapshots\//)
  await repo.forget('latest')
  for (const prefix of ['snapshots/', 'forget/', 'gc/']) {
    await repo.forget((await backUp(repo, diskImage(prefix))).id)
    store.calls.length = 0
    await repo.prune(undefined, { patienceSeconds: 0 })
    assertBefore(`settle ${prefix}`, /^put gc\/\d+\.done/)
  }
  await backUp(repo, NEW)
  for (const name of await objectNames(store, 'index/')) await store.delete(name)
  store.calls.length = 0
  await repo.repairIndex()
  assertBefore('settle packs/', /^put index\//)
})

test('what arrived before a failure is used by the next backup, unless it is suspect', async (t) => {
  const image = noise('half way', 2_000_000)
  for (const [code, isUsed] of [
    ['ERR_SOURCE_READ', true],
    ['ERR_CORRUPT_BLOB', false],
  ] as const) {
    const store = new MemoryStore()
    const repo = await newRepository(store)
    const error = new PlatterError(code, 'injected')
    const source = new FaultSource(new MemorySource(image), {
      unreadable: [{ offset: 1_900_000, length: 1, error }],
    })
    t.equal(await rejection(repo.backup(source, { name: 'disk', workers: 0 })), error)
    const { stats, id } = await backUp(await Repository.open(store), image)
    if (isUsed) t.ok(stats.bytesNew < 1_000_000, `${code}: ${stats.bytesNew} bytes are new`)
    else t.equal(stats.bytesNew, image.length, `${code}: after a sign of faulty memory nothing is relied on`)
    t.ok(sameBytes(await restored(repo, id), image))
    t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  }
})

/** Notes when each put begins and ends, and lets each take another while. */
class SlowStore extends MemoryStore {
  readonly events: { readonly name: string; readonly event: 'begin' | 'end' }[] = []
  #puts = 0

  override async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options?: StoreCallOptions,
  ): Promise<'created' | 'exists'> {
    this.events.push({ name, event: 'begin' })
    await delay((this.#puts++ * 7) % 11)
    const outcome = await super.putIfAbsent(name, parts, options)
    this.events.push({ name, event: 'end' })
    return outcome
  }
}

for (const workers of [0, 2]) {
  test(`packs are durable before the index names them, all before the snapshot, ${workers} workers`, async (t) => {
    const store = new SlowStore()
    const repo = await newRepository(store)
    // Enough packs for more than one index segment.
    await backUp(repo, noise('many packs', 9_000_000), { workers })
    const at = (name: string, event: 'begin' | 'end'): number =>
      store.events.findIndex((entry) => entry.name === name && entry.event === event)
    const segments = await objectNames(store, 'index/')
    t.ok(segments.length >= 2, `${segments.length} index segments`)
    let named = 0
    let early = 0
    for (const segment of segments) {
      for (const { id } of decodeIndexSegment(segment, await store.get(segment), plainRecords).packs) {
        const end = at(packName(id), 'end')
        if (end < 0 || end > at(segment, 'begin')) early++
        named++
      }
    }
    t.equal(early, 0, 'no segment is written before all packs it names are durable')
    t.equal(named, (await objectNames(store, 'packs/')).length, 'every pack is named once')
    const commit = at((await objectNames(store, 'snapshots/'))[0]!, 'begin')
    const late = store.events.slice(commit).filter(({ name }) => !name.startsWith('snapshots/'))
    t.same(late, [], 'nothing is written, or still under way, after the commit begins')
  })
}

/** Everything a repository does, by name, on a fresh repository object. */
const WORK: Readonly<Record<string, (repo: Repository) => Promise<unknown>>> = {
  backup: (repo) => backUp(repo, NEW),
  restore: (repo) => repo.restore('latest', new MemoryTarget(), { workers: 0 }),
  snapshots: (repo) => collected(repo.snapshots()),
  openImage: async (repo) => (await repo.openImage('latest:disk')).read(0, 300_000),
  diff: (repo) => collected(repo.diff('latest', 'latest')),
  check: (repo) => repo.check({ readData: true, workers: 0 }),
  stats: (repo) => repo.stats(),
  forget: (repo) => repo.forget('latest'),
  planForget: async (repo) => repo.applyForget(await repo.planForget({ policy: { keepLast: 1 } })),
}

test('a list that ends early with an error is never taken for a whole one', {
  timeout: 60_000,
}, async (t) => {
  const { store } = await storeWithSnapshot()
  await backUp(await Repository.open(store), NEW)
  for (const [name, work] of Object.entries(WORK)) {
    const probe = new FaultStore(await copyOf(store))
    await work(await Repository.open(probe))
    const lists = probe.log.filter(({ operation }) => operation === 'list').length
    t.ok(lists >= 2, `${name} lists`)
    for (let nth = 1; nth <= lists; nth++) {
      for (const afterItems of [0, 1]) {
        const faulty = new FaultStore(await copyOf(store))
        const repo = await Repository.open(faulty)
        faulty.inject({ operation: 'list', nth, fault: { kind: 'cut-list', afterItems } })
        t.equal(await codeOf(work(repo)), 'ERR_STORE_IO', `${name}, list ${nth} after ${afterItems}`)
        faulty.heal()
        t.equal((await objectNames(faulty, 'snapshots/')).length, 2, 'and nothing was committed')
        t.equal((await objectNames(faulty, 'forget/')).length, 0, 'nor forgotten')
      }
    }
  }
})

test('what cannot be read is never called absent or damaged', { timeout: 60_000 }, async (t) => {
  const { store } = await storeWithSnapshot()
  let hits = 0
  for (const code of ['ERR_STORE_IO', 'ERR_STORE_ACCESS'] as const) {
    for (const operation of ['get', 'getRange'] as StoreOperation[]) {
      for (const name of [/^config$/, /^snapshots\//, /^index\//, /^packs\//]) {
        for (const [workName, work] of Object.entries(WORK)) {
          const faulty = new FaultStore(await copyOf(store))
          const error = new PlatterError(code, 'injected')
          faulty.inject({ operation, name, times: 1000, fault: { kind: 'error', error } })
          const found = await codeOf(Repository.open(faulty).then(work))
          if (!faulty.log.some(({ outcome }) => outcome === 'failed')) continue
          t.equal(found, code, `${workName}: ${operation} of ${name.source}`)
          hits++
        }
      }
    }
  }
  t.ok(hits > 40, `${hits} failures`)
  t.equal(await codeOf(Repository.open(new MemoryStore())), 'ERR_REPOSITORY_NOT_FOUND')
})

test('a session that was fenced commits nothing', async (t) => {
  const { store, had } = await storeWithSnapshot()
  const [fenced] = had.keys()
  const id = 'f0'.repeat(16) as SnapshotId
  const name = `snapshots/${id}`
  await store.putIfAbsent(name, sealRecord(RECORD_TYPE.fence, name, encodeRecord({ version: 1 })))
  const withSession = async (session: string): Promise<Repository> => {
    let isFirst = true
    const random = (length: number): Uint8Array => {
      const bytes = isFirst ? new Uint8Array(Buffer.from(session, 'hex')) : systemRandom(length)
      isFirst = false
      return bytes
    }
    return await Repository.open(store, { random })
  }
  const before = (await objectNames(store, 'snapshots/')).length
  t.equal(await codeOf(backUp(await withSession(id), NEW)), 'ERR_SESSION_FENCED')
  t.equal((await objectNames(store, 'snapshots/')).length, before)
  const repo = await Repository.open(store)
  t.equal(await codeOf(repo.snapshot(id)), 'ERR_SNAPSHOT_NOT_FOUND', 'a fence is no snapshot')
  t.equal((await repo.snapshot('latest')).id, fenced)
  t.equal((await repo.stats()).snapshots, 1)
  // Session ids are never reused; should it happen, nothing is overwritten.
  t.equal(await codeOf(backUp(await withSession(fenced!), NEW)), 'ERR_STORE_IO')
  await assertSound(t, store, had, 'with a fence among the snapshots')
})

test('a pack that would not be readable is not swallowed on its way to the store', async (t) => {
  const uploader = new PackUploader(
    { store: new MemoryStore(), records: plainRecords },
    undefined,
    'ab'.repeat(16) as SnapshotId,
    new AbortController().signal,
  )
  const put = uploader.put('cd'.repeat(32) as Parameters<PackUploader['put']>[0], noise('no pack', 500))
  t.equal(await codeOf(put), 'ERR_CORRUPT_PACK')
  t.equal(await codeOf(uploader.finish()), 'ERR_CORRUPT_PACK', 'nor may the backup go on without it')
})

test('two backups at once, of one repository object and of two', async (t) => {
  const store = new SlowStore()
  const repo = await newRepository(store)
  const other = await Repository.open(store)
  const images = ['a', 'b', 'c', 'd'].map((seed) => diskImage(seed))
  images[3] = images[2]!
  const snapshots = await Promise.all(
    images.map((image, i) =>
      backUp(i % 2 === 0 ? repo : other, image, { name: `disk ${i}`, workers: i % 3 }),
    ),
  )
  t.equal(new Set(snapshots.map(({ id }) => id)).size, images.length)
  const had = new Map(snapshots.map(({ id }, i) => [id, images[i]!]))
  await assertSound(t, store, had, 'after backups side by side')
})

test('snapshots are forgotten while backups and restores run', async (t) => {
  const { store, had } = await storeWithSnapshot()
  const repo = await Repository.open(store)
  const [old] = [...had.keys()]
  const [restoredBytes, snapshot] = await Promise.all([
    restored(repo, old!),
    backUp(repo, NEW, { name: 'disk' }),
    (await Repository.open(store)).forget(old!),
  ])
  t.ok(sameBytes(restoredBytes, OLD))
  await assertSound(t, store, new Map([[snapshot.id, NEW]]), 'after a forget')
  t.equal(await codeOf(repo.snapshot(old!)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.equal(await codeOf(repo.forget(old!)), 'ERR_SNAPSHOT_NOT_FOUND', 'twice is told')
})

test('forget fails half way: the snapshot is there, or gone', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const { store, had } = await storeWithSnapshot()
    const faulty = new FaultStore(store)
    const repo = await Repository.open(faulty)
    faulty.inject({ operation: 'putIfAbsent', fault: { kind: 'error', when } })
    t.equal(await codeOf(repo.forget('latest')), 'ERR_STORE_IO')
    t.equal(await codeOf(repo.snapshot('latest')), when === 'before' ? 'success' : 'ERR_SNAPSHOT_NOT_FOUND')
    await assertSound(t, store, when === 'before' ? had : new Map(), `forget failed ${when}`)
  }
})

test('init fails half way, or on what is there', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const store = new FaultStore(new MemoryStore())
    const error = new PlatterError('ERR_STORE_FULL', 'injected')
    store.inject({ operation: 'putIfAbsent', fault: { kind: 'error', when, error } })
    t.equal(await codeOf(Repository.init(store, SETTINGS)), 'ERR_STORE_FULL')
    const again = await codeOf(Repository.init(store, SETTINGS))
    t.equal(again, when === 'before' ? 'success' : 'ERR_REPOSITORY_EXISTS')
    t.equal(await codeOf(backUp(await Repository.open(store), NEW)), 'success')
  }
  const racers = new MemoryStore()
  const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(Repository.init(racers, SETTINGS))))
  t.equal(codes.filter((code) => code === 'success').length, 1)
  t.equal(codes.filter((code) => code === 'ERR_REPOSITORY_EXISTS').length, 7)
})

test('settings that make no repository are refused; those that are taken work', {
  timeout: 60_000,
}, async (t) => {
  const aligned = { kind: 'aligned', minBytes: 4096, averageBytes: 16384, maxBytes: 65536 }
  const refused: Record<string, unknown>[] = [
    { regionBytes: 0 },
    { regionBytes: -65536 },
    { regionBytes: Number.NaN },
    { regionBytes: 65537 },
    { regionBytes: 1e12 },
    { packBytes: 0 },
    { packBytes: 1.5 },
    { packBytes: Number.POSITIVE_INFINITY },
    { chunker: { ...aligned, kind: 'bogus' } },
    { chunker: { ...aligned, minBytes: 5000 } },
    { chunker: { ...aligned, minBytes: 32768 } },
    { chunker: { ...aligned, maxBytes: 1e9 } },
    { chunker: { ...aligned, minBytes: Number.NaN } },
    { chunker: { ...aligned, minBytes: 0 } },
    { chunker: { kind: 'fastcdc', minBytes: 256, averageBytes: 512, maxBytes: 1024 } },
    { chunker: { kind: 'fixed', minBytes: 4096, averageBytes: 8192, maxBytes: 8192 } },
  ]
  for (const wrong of refused) {
    const store = new MemoryStore()
    const settings = { ...SETTINGS, ...wrong } as typeof SETTINGS
    t.equal(await codeOf(Repository.init(store, settings)), 'ERR_INVALID_ARGUMENT', JSON.stringify(wrong))
    t.same(await objectNames(store), [], 'nothing was written')
  }
  t.equal(await codeOf(Repository.init(new MemoryStore(), {} as typeof SETTINGS)), 'ERR_KEY_REQUIRED')
  const image = diskImage('any settings')
  const taken: (typeof SETTINGS)['chunker'][] = [
    { kind: 'fastcdc', minBytes: 512, averageBytes: 512, maxBytes: 512 },
    { kind: 'fastcdc', minBytes: 513, averageBytes: 1000, maxBytes: 3001 },
    { kind: 'fastcdc', minBytes: 2 ** 24 - 1, averageBytes: 2 ** 24 - 1, maxBytes: 2 ** 24 - 1 },
    { kind: 'fixed', minBytes: 5001, averageBytes: 5001, maxBytes: 5001 },
    { kind: 'aligned', minBytes: 4096, averageBytes: 4096, maxBytes: 4096 },
    { kind: 'aligned', minBytes: 2 ** 24 - 4096, averageBytes: 2 ** 24 - 4096, maxBytes: 2 ** 24 - 4096 },
  ]
  for (const chunker of taken) {
    const repo = await newRepository(new MemoryStore(), { ...SETTINGS, chunker: chunker! })
    const { id } = await backUp(repo, image)
    t.ok(sameBytes(await restored(repo, id), image), JSON.stringify(chunker))
  }
})

test('options that make no sense are refused before anything is written', async (t) => {
  const { store, had } = await storeWithSnapshot()
  const repo = await Repository.open(store)
  const before = await objectNames(store)
  const wrongBackups: Record<string, unknown>[] = [
    { name: '' },
    { name: 'n'.repeat(1025) },
    { name: 5 },
    { host: 'h'.repeat(1025) },
    { host: 7 },
    { tags: [''] },
    { tags: ['t'.repeat(257)] },
    { tags: Array.from({ length: 65 }, (_, i) => `tag ${i}`) },
    { tags: [5] },
    { tags: 'abc' },
    { workers: -1 },
    { workers: 1.5 },
    { workers: Number.NaN },
    { workers: 100_000 },
    { onReadError: 'ignore' },
  ]
  for (const wrong of wrongBackups) {
    t.equal(
      await codeOf(backUp(repo, NEW, wrong)),
      'ERR_INVALID_ARGUMENT',
      JSON.stringify(wrong).slice(0, 60),
    )
  }
  for (const workers of [-1, 1.5, Number.NaN, 257]) {
    t.equal(await codeOf(repo.restore('latest', new MemoryTarget(), { workers })), 'ERR_INVALID_ARGUMENT')
  }
  for (const fraction of [-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.equal(
      await codeOf(repo.check({ readData: { fraction } })),
      'ERR_INVALID_ARGUMENT',
      `fraction ${fraction}`,
    )
  }
  for (const reference of [
    '',
    'lat',
    'LATEST',
    'latest:',
    'latest:no such',
    '../../etc',
    'abc',
    'z'.repeat(32),
    'a'.repeat(33),
  ]) {
    t.equal(await codeOf(repo.snapshot(reference)), 'ERR_SNAPSHOT_NOT_FOUND', `reference '${reference}'`)
  }
  const image = await repo.openImage('latest')
  for (const [offset, length] of [
    [-1, 1],
    [0, -1],
    [Number.NaN, 1],
    [1.5, 1],
    [0, Number.NaN],
    [2 ** 60, 1],
  ]) {
    t.equal(await codeOf(image.read(offset!, length!)), 'ERR_INVALID_ARGUMENT', `read ${length} at ${offset}`)
  }
  for (const offset of [-5, Number.NaN, 1.5]) {
    const into = new Uint8Array(10).fill(7)
    t.equal(await codeOf(image.readInto(offset, into)), 'ERR_INVALID_ARGUMENT', `readInto at ${offset}`)
    t.ok(
      into.every((byte) => byte === 7),
      'and nothing is filled in',
    )
  }
  t.same(await objectNames(store), before)
  await assertSound(t, store, had, 'after refusals')
})

test('a closed repository says so; closing one ends what is under way', async (t) => {
  const { store, had } = await storeWithSnapshot()
  for (const [name, work] of Object.entries(WORK)) {
    const closed = await Repository.open(store)
    await closed.close()
    await closed.close()
    t.equal(await codeOf(work(closed)), 'ERR_CLOSED', name)
    for (const turns of [0, 1, 3, 10, 40]) {
      const scratch: Store = await copyOf(store)
      const repo = await Repository.open(scratch)
      const outcome = codeOf(work(repo))
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      await repo.close()
      t.match(await outcome, /^(ERR_CLOSED|success)$/, `${name}, closed after ${turns} turns`)
      if (name === 'backup') await assertSound(t, scratch, had, `closed after ${turns} turns`, NEW)
    }
  }
  const image = await (await Repository.open(store)).openImage('latest')
  await image.close()
  t.equal(await codeOf(image.read(0, 10)), 'ERR_CLOSED')
})

test('a store that can only be read', async (t: Test) => {
  const { store } = await storeWithSnapshot()
  const readable = {
    label: 'read only',
    get: store.get.bind(store),
    getRange: store.getRange.bind(store),
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    close: async () => {},
  }
  const repo = await Repository.open(readable)
  t.ok(sameBytes(await restored(repo, 'latest'), OLD))
  t.equal(await codeOf(backUp(repo, NEW)), 'ERR_STORE_UNSUPPORTED')
  t.equal(await codeOf(repo.forget('latest')), 'ERR_STORE_UNSUPPORTED')
})

test('no rejection was left unhandled', async (t) => {
  await delay(50)
  t.same(unhandled, [])
})
