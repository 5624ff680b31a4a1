import { closeSync, openSync } from 'node:fs'
import { Writable } from 'node:stream'
import { type BlockTarget, PlatterError, type Store } from '@platter/core'
import { MemoryStore, MemoryTarget, StreamTarget } from '@platter/fs-adapters'
import { FaultStore, FaultTarget } from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { test } from 'tap'
import {
  backUp,
  codeOf,
  copyOf,
  diskImage,
  ENCRYPTED,
  listed,
  newRepository,
  noise,
  objectNames,
  openRepository,
  rejection,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
  sourceFrom,
  targetFrom,
  unhandled,
} from './adversity.ts'

const IMAGE = diskImage('target', 400_001)

async function repositoryWithSnapshot(regionBytes = 64 * 1024): Promise<{ store: Store; repo: Repository }> {
  const store = new MemoryStore()
  const repo = await newRepository(store, { ...SETTINGS, regionBytes })
  await backUp(repo, IMAGE)
  return { store, repo }
}

test('a target that is too small is left as it is', async (t) => {
  const { repo } = await repositoryWithSnapshot()
  for (const onlyDifferent of [false, true]) {
    for (const capacityBytes of [0, 1, IMAGE.length - 1]) {
      const content = noise('was there', capacityBytes)
      const inner = new MemoryTarget({ content, capacityBytes })
      const error = await rejection(repo.restore('latest', inner, { workers: 0, onlyDifferent }))
      t.ok(PlatterError.is(error, 'ERR_TARGET_TOO_SMALL'), `${capacityBytes} bytes`)
      t.equal((error as PlatterError).details.expected, IMAGE.length)
      t.equal(inner.bytes, content)
    }
  }
  // A target that says how small it is, and would find out too late.
  const prepare = async (): Promise<never> => {
    throw new Error('It was prepared.')
  }
  const small = targetFrom({ prepare }, new MemoryTarget({ capacityBytes: IMAGE.length - 1 }))
  t.equal(await codeOf(repo.restore('latest', small, { workers: 0 })), 'ERR_TARGET_TOO_SMALL')
  const exact = new MemoryTarget({ capacityBytes: IMAGE.length })
  await repo.restore('latest', exact, { workers: 0 })
  t.ok(sameBytes(exact.bytes, IMAGE))
})

test('prepare refuses', async (t) => {
  const { repo } = await repositoryWithSnapshot()
  const prepareError = new PlatterError('ERR_TARGET_FULL', 'injected')
  for (const workers of [0, 2]) {
    const target = new FaultTarget(new MemoryTarget(), { prepareError, failAfterBytes: 0 })
    t.equal(await rejection(repo.restore('latest', target, { workers })), prepareError)
  }
})

test('a target fails half way', { timeout: 60_000 }, async (t) => {
  const { repo } = await repositoryWithSnapshot()
  for (const workers of [0, 2]) {
    for (const failAfterBytes of [0, 1, 65_536, 100_000, 200_000, IMAGE.length - 1]) {
      if (workers > 0 && failAfterBytes % 65_536 === 0) continue
      for (const onlyDifferent of [false, true]) {
        const what = `full after ${failAfterBytes} bytes, ${workers} workers`
        // Not blank, so that holes count too.
        const content = noise('other', IMAGE.length)
        const target = new FaultTarget(new MemoryTarget({ content }), {
          failAfterBytes: Math.min(failAfterBytes, 250_000),
        })
        const error = await rejection(repo.restore('latest', target, { workers, onlyDifferent }))
        t.ok(PlatterError.is(error, 'ERR_TARGET_FULL'), what)
        t.equal(typeof (error as PlatterError).details.offset, 'number')
      }
    }
    const error = new PlatterError('ERR_TARGET_WRITE', 'injected')
    const broken = new FaultTarget(new MemoryTarget(), { failAfterBytes: 100_000, error })
    t.equal(await rejection(repo.restore('latest', broken, { workers })), error)
    const unsynced = new FaultTarget(new MemoryTarget(), { flushError: error })
    t.equal(await rejection(repo.restore('latest', unsynced, { workers })), error, 'a flush that fails')
    const throwing = targetFrom({
      write() {
        throw error
      },
    })
    t.equal(
      await rejection(repo.restore('latest', throwing, { workers })),
      error,
      'a write that throws at once',
    )
  }
  t.ok(sameBytes(await restored(repo, 'latest'), IMAGE), 'and the next restore works')
})

test('a stream to restore to breaks', { timeout: 60_000 }, async (t) => {
  const { repo } = await repositoryWithSnapshot()
  for (const workers of [0, 2]) {
    for (const accepts of [0, 70_000, 300_000]) {
      let taken = 0
      const output = new Writable({
        write(piece: Uint8Array, _encoding, done) {
          taken += piece.length
          done(taken > accepts ? Object.assign(new Error('broken pipe'), { code: 'EPIPE' }) : null)
        },
      })
      await using target = new StreamTarget(output)
      const code = await codeOf(repo.restore('latest', target, { workers }))
      t.equal(code, 'ERR_TARGET_WRITE', `after ${accepts} bytes, ${workers} workers`)
    }
  }
})

test('a full disk, in workers that write by themselves', { timeout: 60_000 }, async (t) => {
  const { repo } = await repositoryWithSnapshot()
  let full: number
  try {
    full = openSync('/dev/full', 'w')
  } catch {
    t.comment('needs /dev/full')
    return
  }
  const readOnly = openSync(process.execPath, 'r')
  t.teardown(() => {
    closeSync(full)
    closeSync(readOnly)
  })
  for (const workers of [0, 2]) {
    for (const [fd, code] of [
      [full, 'ERR_TARGET_FULL'],
      [readOnly, 'ERR_TARGET_WRITE'],
    ] as const) {
      const error = await rejection(repo.restore('latest', targetFrom({ direct: { fd } }), { workers }))
      t.ok(PlatterError.is(error, code), `${code}, ${workers} workers`)
      t.ok((error as PlatterError).details.systemCode)
    }
  }
})

test('what differs can only be found on a target that can be read', async (t) => {
  const { repo } = await repositoryWithSnapshot()
  const untouched: Partial<BlockTarget> = {
    prepare: async () => {
      throw new Error('It was prepared.')
    },
  }
  const inner = new MemoryTarget({ content: IMAGE.slice() })
  const unreadable = targetFrom(untouched, inner)
  const sequential = targetFrom(
    { ...untouched, sequential: true, read: (...args) => inner.read(...args) },
    inner,
  )
  for (const target of [unreadable, sequential]) {
    const code = await codeOf(repo.restore('latest', target, { workers: 0, onlyDifferent: true }))
    t.equal(code, 'ERR_TARGET_UNSUPPORTED')
  }
  const error = new PlatterError('ERR_TARGET_WRITE', 'cannot be read')
  for (const workers of [0, 2]) {
    const failing = targetFrom(
      {
        read: async () => {
          throw error
        },
      },
      inner,
    )
    t.equal(await rejection(repo.restore('latest', failing, { workers, onlyDifferent: true })), error)
  }
})

for (const regionBytes of [64 * 1024, 256 * 1024]) {
  test(`only what differs is written, and all of it, regions of ${regionBytes}`, {
    timeout: 60_000,
  }, async (t) => {
    const { repo } = await repositoryWithSnapshot(regionBytes)
    for (const workers of [0, 2]) {
      for (const at of [0, 65_535, 100_000, 399_000, 400_000]) {
        const content = IMAGE.slice()
        content[at]! ^= 1
        const target = new MemoryTarget({ content })
        const stats = await repo.restore('latest', target, { workers, onlyDifferent: true })
        t.ok(sameBytes(target.bytes, IMAGE), `byte ${at} differs, ${workers} workers`)
        t.ok(stats.bytesWritten + stats.bytesZeroed <= 2 * regionBytes, 'little was written')
      }
      for (const content of [noise('other', IMAGE.length + 5000), noise('other', 1000), new Uint8Array(0)]) {
        const target = new MemoryTarget({ content })
        await repo.restore('latest', target, { workers, onlyDifferent: true })
        t.ok(sameBytes(target.bytes, IMAGE), `a target of ${content.length} bytes`)
      }
      const short = new MemoryTarget({ content: IMAGE.slice() })
      const target = targetFrom({ read: (offset, into) => short.read(offset, into.subarray(0, 777)) }, short)
      const stats = await repo.restore('latest', target, { workers, onlyDifferent: true })
      t.equal(stats.bytesWritten, 0, 'short reads of the target are no difference')
    }
  })
}

test('holes are written where the target is not blank', async (t) => {
  const repo = await newRepository()
  const size = 50_000 * 4096
  const source = sourceFrom({
    extents: () =>
      listed([
        { offset: 0, length: 4096, kind: 'data' },
        { offset: 4096, length: size - 8192, kind: 'unused' },
        { offset: size - 4096, length: 4096, kind: 'data' },
      ]),
    read: async (_, into) => {
      into.fill(9)
      return into.length
    },
    info: { sizeBytes: size },
  })
  await repo.backup(source, { name: 'sparse', workers: 0 })
  let written = 0
  let zeroed = 0
  const target = targetFrom({
    prepare: async () => ({ blank: false }),
    write: async (_, data) => {
      written += data.length
    },
    zero: async (_, length) => {
      zeroed += length
    },
    flush: async () => {},
  })
  await repo.restore('latest', target, { workers: 0 })
  t.equal(written, 8192)
  t.equal(zeroed, size - 8192)
})

test('a store fails at any call of a restore', { timeout: 60_000 }, async (t) => {
  const { store } = await repositoryWithSnapshot()
  const probe = new FaultStore(store)
  const repo = await Repository.open(probe)
  probe.log.length = 0
  await restored(repo, 'latest')
  const { length } = probe.log
  const objects = await objectNames(store)
  for (let calls = 0; calls < length; calls++) {
    const faulty = new FaultStore(store)
    const again = await Repository.open(faulty)
    faulty.crashAt({ afterOperations: calls, when: calls % 2 === 0 ? 'before' : 'after' })
    const workers = calls % 7 === 3 ? 2 : 0
    t.equal(await codeOf(restored(again, 'latest', workers)), 'ERR_STORE_IO', `dead after ${calls} calls`)
  }
  t.same(await objectNames(store), objects, 'a restore changes nothing')
})

test('chunks that are damaged or gone are restored from another pack that has them', {
  timeout: 60_000,
}, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store, ENCRYPTED)
  // Neither of two backups that begin together knows what the other stores.
  await Promise.all(['one', 'two'].map((name) => backUp(repo, IMAGE, { name })))
  const packs = await objectNames(store, 'packs/')
  const sizes = new Map<string, number>()
  for (const name of packs) sizes.set(name, (await store.stat(name))!.sizeBytes)
  const [first] = [...packs].sort((a, b) => sizes.get(b)! - sizes.get(a)!)
  let survived = 0
  for (const harm of ['damaged', 'gone', 'cut short'] as const) {
    for (const victim of packs) {
      const copy = await copyOf(store)
      const bytes = await store.get(victim)
      const harmed = {
        damaged: bytes.map((byte) => byte ^ 1),
        gone: undefined,
        'cut short': bytes.slice(0, 100),
      }
      await replaceObject(copy, victim, harmed[harm])
      const again = await openRepository(copy)
      for (const workers of victim === first ? [0, 2] : [0]) {
        for (const name of ['one', 'two'])
          t.ok(sameBytes(await restored(again, `latest:${name}`, workers), IMAGE), `${victim} ${harm}`)
      }
      survived++
    }
  }
  t.ok(sizes.get(first!)! > 40_000 && survived >= 12, `${survived} packs could be done without`)
})

test('a store whose answers break its promises is no crash', { timeout: 60_000 }, async (t) => {
  const { store } = await repositoryWithSnapshot()
  const slab = new ArrayBuffer(1 << 20)
  const answers: Record<string, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>> = {
    'views of one piece of memory': (bytes) => {
      const view = new Uint8Array(slab.byteLength === 0 ? new ArrayBuffer(1 << 20) : slab, 64, bytes.length)
      view.set(bytes)
      return view
    },
    'pooled memory': (bytes) => Buffer.from(bytes) as Uint8Array<ArrayBuffer>,
    'a byte less': (bytes) => bytes.slice(0, -1),
    'a byte more': (bytes) => new Uint8Array([...bytes, 0]),
    'no bytes': () => new Uint8Array(0),
    nothing: () => undefined as unknown as Uint8Array<ArrayBuffer>,
  }
  for (const [what, answer] of Object.entries(answers)) {
    const broken = new (class extends MemoryStore {
      override get = store.get.bind(store)
      override list = store.list.bind(store)
      override async getRange(...args: Parameters<Store['getRange']>): Promise<Uint8Array<ArrayBuffer>> {
        return answer(await store.getRange(...args))
      }
    })()
    const repo = await Repository.open(broken)
    for (const workers of [0, 2]) {
      const outcome = await restored(repo, 'latest', workers).catch((error: unknown) => error)
      const isRight = outcome instanceof Uint8Array && sameBytes(outcome, IMAGE)
      t.ok(isRight || outcome instanceof Error, `${what}, ${workers} workers: right, or an error`)
    }
    const image = repo.openImage('latest').then((opened) => opened.read(0, IMAGE.length))
    const outcome = await image.catch((error: unknown) => error)
    t.ok(outcome instanceof Error || sameBytes(outcome as Uint8Array, IMAGE), `${what}: an open image`)
  }
})

test('an open image', { timeout: 30_000 }, async (t) => {
  const { store } = await repositoryWithSnapshot()
  const faulty = new FaultStore(store)
  const repo = await Repository.open(faulty)
  for (const cacheBytes of [undefined, 0, 1, 50_000, Number.NaN, -1]) {
    await using image = await repo.openImage('latest', cacheBytes === undefined ? {} : { cacheBytes })
    faulty.inject({ operation: 'getRange', nth: 3, times: 2, fault: { kind: 'error' } })
    t.equal(
      await codeOf(image.read(0, IMAGE.length)),
      'ERR_STORE_IO',
      `a cache of ${cacheBytes}: a read fails`,
    )
    faulty.heal()
    const draws = new Uint32Array(noise('reads', 800).buffer)
    const wrong = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const offset = draws[i * 2]! % (IMAGE.length + 10)
        const length = draws[i * 2 + 1]! % (i % 2 === 0 ? 100 : 200_000)
        return !sameBytes(await image.read(offset, length), IMAGE.subarray(offset, offset + length))
      }),
    )
    t.notOk(wrong.includes(true), 'and the next ones are right')
  }
})

test('a progress listener that throws', { timeout: 20_000 }, async (t) => {
  const { repo } = await repositoryWithSnapshot()
  const error = new Error('thrown by the listener')
  const onProgress = (): void => {
    throw error
  }
  const slow = targetFrom({
    write: async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
    },
  })
  for (const workers of [0, 2]) {
    const options = { workers, onProgress, progressMillis: 5 }
    t.equal(await rejection(repo.restore('latest', slow, options)), error)
    const source = sourceFrom(
      {
        read: async (_, into) => {
          await new Promise((resolve) => setTimeout(resolve, 20))
          return into.length
        },
      },
      IMAGE,
    )
    t.equal(await rejection(repo.backup(source, { name: 'disk', ...options })), error)
  }
})

test('no rejection was left unhandled', async (t) => {
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.same(unhandled, [])
})
