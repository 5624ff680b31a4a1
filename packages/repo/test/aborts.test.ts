import { spawn } from 'node:child_process'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Worker } from 'node:worker_threads'
import type { SnapshotId, StoreCallOptions, StoreStat } from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget, StreamSource, StreamTarget } from '@platter/fs-adapters'
import { FaultSource } from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { test } from 'tap'
import {
  assertSound,
  backUp,
  codeOf,
  copyOf,
  diskImage,
  listed,
  newRepository,
  noise,
  rejection,
  restored,
  sameBytes,
  sourceFrom,
  targetFrom,
  unhandled,
} from './adversity.ts'

const OLD = diskImage('old')
const NEW = diskImage('new')

async function storeWithSnapshot(): Promise<{ store: MemoryStore; had: Map<SnapshotId, Uint8Array> }> {
  const store = new MemoryStore()
  const { id } = await backUp(await newRepository(store), OLD)
  return { store, had: new Map([[id, OLD]]) }
}

/** Aborts at a step: a call of the store, a read of the source, a write of the target, whatever comes. */
class AbortAtStep {
  readonly reason = new Error('Stopped by the test.')
  readonly #controller = new AbortController()
  readonly #at: number
  /** Steps since it was armed; undefined before. */
  #steps: number | undefined

  constructor(at: number) {
    this.#at = at
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get steps(): number {
    return this.#steps ?? 0
  }

  /** From now on steps count. */
  arm(): void {
    this.#steps = 0
  }

  step(): void {
    if (this.#steps !== undefined && this.#steps++ === this.#at) this.#controller.abort(this.reason)
  }
}

/** A store that counts steps: each call is one when it begins, and one when it is done. */
class SteppingStore extends MemoryStore {
  readonly #abort: AbortAtStep

  constructor(abort: AbortAtStep) {
    super()
    this.#abort = abort
  }

  override async get(...args: Parameters<MemoryStore['get']>): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#stepping(() => super.get(...args))
  }

  override async getRange(...args: Parameters<MemoryStore['getRange']>): Promise<Uint8Array<ArrayBuffer>> {
    return await this.#stepping(() => super.getRange(...args))
  }

  override async putIfAbsent(...args: Parameters<MemoryStore['putIfAbsent']>): Promise<'created' | 'exists'> {
    return await this.#stepping(() => super.putIfAbsent(...args))
  }

  override async *list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat> {
    this.#abort.step()
    for await (const stat of super.list(prefix, options)) {
      yield stat
      this.#abort.step()
    }
  }

  async #stepping<Result>(call: () => Promise<Result>): Promise<Result> {
    this.#abort.step()
    const result = await call()
    this.#abort.step()
    return result
  }
}

/** A store with the same objects, whose calls are steps. */
async function steppingCopy(store: MemoryStore, abort: AbortAtStep): Promise<SteppingStore> {
  const copy = new SteppingStore(abort)
  for await (const { name } of store.list('')) await copy.putIfAbsent(name, [await store.get(name)])
  return copy
}

function steppingSource(image: Uint8Array, abort: AbortAtStep): ReturnType<typeof sourceFrom> {
  const inner = new MemorySource(image)
  return sourceFrom(
    {
      read: async (...args) => {
        abort.step()
        const count = await inner.read(...args)
        abort.step()
        return count
      },
    },
    image,
  )
}

test('a backup is aborted at any step', { timeout: 120_000 }, async (t) => {
  const { store, had } = await storeWithSnapshot()
  const run = async (
    at: number,
    workers: number,
  ): Promise<{ abort: AbortAtStep; scratch: MemoryStore; outcome: unknown }> => {
    const abort = new AbortAtStep(at)
    const scratch = await steppingCopy(store, abort)
    const repo = await Repository.open(scratch)
    const { signal } = abort
    abort.arm()
    const outcome = await repo
      .backup(steppingSource(NEW, abort), { name: 'disk', workers, signal })
      .catch((error: unknown) => error)
    return { abort, scratch, outcome }
  }
  const { steps } = (await run(Number.POSITIVE_INFINITY, 0)).abort
  t.ok(steps > 25, `${steps} steps`)
  let aborted = 0
  for (let at = 1; at < steps; at++) {
    const { abort, scratch, outcome } = await run(at, 0)
    const what = `aborted at step ${at} of ${steps}`
    // At the last steps the commit is under way or done.
    if (outcome === abort.reason) aborted++
    else if (at < steps - 3) t.fail(`${what}: ${String(outcome)}`)
    if (at % 4 === 0 || at > steps - 8) await assertSound(t, scratch, had, what, NEW)
  }
  t.ok(aborted >= steps - 5, `${aborted} aborted`)
  for (const at of [2, 20, Math.floor(steps / 2), steps - 12]) {
    const { abort, scratch, outcome } = await run(at, 2)
    t.equal(outcome, abort.reason, `step ${at} with 2 workers`)
    await assertSound(t, scratch, had, `aborted at step ${at} with 2 workers`)
  }
})

test('a restore is aborted at any step', { timeout: 120_000 }, async (t) => {
  const { store } = await storeWithSnapshot()
  const run = async (
    at: number,
    workers: number,
    onlyDifferent: boolean,
  ): Promise<{ abort: AbortAtStep; outcome: unknown }> => {
    const abort = new AbortAtStep(at)
    const scratch = await steppingCopy(store, abort)
    const repo = await Repository.open(scratch)
    const inner = new MemoryTarget({ content: noise('other', OLD.length) })
    const target = targetFrom(
      {
        write: async (...args) => {
          abort.step()
          await inner.write(...args)
          abort.step()
        },
        read: async (...args) => {
          abort.step()
          return await inner.read(...args)
        },
        flush: async () => abort.step(),
      },
      inner,
    )
    const { signal } = abort
    abort.arm()
    const outcome = await repo.restore('latest', target, { workers, signal, onlyDifferent }).then(
      () => 'success',
      (error: unknown) => error,
    )
    if (outcome === 'success') t.ok(sameBytes(inner.bytes, OLD), 'what succeeded is whole')
    return { abort, outcome }
  }
  for (const onlyDifferent of [false, true]) {
    const { steps } = (await run(Number.POSITIVE_INFINITY, 0, onlyDifferent)).abort
    t.ok(steps > 30, `${steps} steps`)
    for (let at = 1; at < steps; at++) {
      const { abort, outcome } = await run(at, 0, onlyDifferent)
      if (outcome !== abort.reason && at < steps - 1) t.fail(`step ${at} of ${steps}: ${String(outcome)}`)
    }
    for (const at of [2, 12, 20, steps - 5]) {
      const { abort, outcome } = await run(at, 2, onlyDifferent)
      t.equal(outcome, abort.reason, `step ${at} of ${steps} with 2 workers`)
    }
  }
})

test('other work is aborted at any step', { timeout: 120_000 }, async (t) => {
  const { store } = await storeWithSnapshot()
  await backUp(await Repository.open(store), NEW)
  const works: Record<string, (repo: Repository, signal: AbortSignal) => Promise<unknown>> = {
    check: (repo, signal) => repo.check({ readData: true, workers: 0, signal }),
    stats: (repo, signal) => repo.stats({ signal }),
    openImage: (repo, signal) => repo.openImage('latest', { signal }),
    diff: async (repo, signal) => {
      const [a, b] = [(await repo.snapshot('latest')).parent!, 'latest']
      for await (const _ of repo.diff(a, b, { signal }));
    },
    snapshots: async (repo, signal) => {
      for await (const _ of repo.snapshots({ signal }));
    },
    forget: (repo, signal) => repo.forget('latest', { signal }),
    planForget: async (repo, signal) => {
      const plan = await repo.planForget({ policy: { keepLast: 1 } }, { signal })
      await repo.applyForget(plan, { signal })
    },
  }
  for (const [name, work] of Object.entries(works)) {
    let at = 1
    for (; ; at++) {
      const abort = new AbortAtStep(at)
      const repo = await Repository.open(await steppingCopy(store, abort))
      abort.arm()
      const outcome = await work(repo, abort.signal).then(
        () => 'success',
        (error: unknown) => error,
      )
      if (abort.steps <= at) break
      if (outcome !== abort.reason && outcome !== 'success') t.fail(`${name}, step ${at}: ${String(outcome)}`)
    }
    t.ok(at > 3, `${name}: ${at} steps`)
  }
})

test('a signal that is aborted before', async (t) => {
  const { store, had } = await storeWithSnapshot()
  const reason = new Error('never begun')
  const signal = AbortSignal.abort(reason)
  const repo = await Repository.open(store)
  const untouched = targetFrom({
    prepare: async () => {
      throw new Error('It was prepared.')
    },
  })
  for (const workers of [0, 2]) {
    t.equal(await rejection(backUp(repo, NEW, { signal, workers })), reason)
    t.equal(await rejection(repo.restore('latest', untouched, { signal, workers })), reason)
    t.equal(await rejection(repo.check({ signal, workers, readData: true })), reason)
  }
  t.equal(await rejection(Repository.open(store, { signal })), reason)
  await assertSound(t, store, had, 'aborted before')
})

test('streams that never come on are given up', { timeout: 20_000 }, async (t) => {
  const { store } = await storeWithSnapshot()
  const repo = await Repository.open(store)
  for (const workers of [0, 2]) {
    const reason = new Error(`enough, with ${workers} workers`)
    const abort = new AbortController()
    const silent = new StreamSource({
      next: () => new Promise(() => {}),
      close: async () => {},
    })
    const backup = rejection(repo.backup(silent, { name: 'silent', workers, signal: abort.signal }))
    const stuck = new StreamTarget({
      write: () => new Promise<void>(() => {}),
      end: async () => {},
      abort: async () => {},
    })
    const restore = rejection(repo.restore('latest', stuck, { workers, signal: abort.signal }))
    await delay(workers * 100 + 50)
    abort.abort(reason)
    t.equal(await backup, reason)
    t.equal(await restore, reason)
  }
})

/** A store that takes no pack until the call is aborted. */
class StuckStore extends MemoryStore {
  override async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    if (!name.startsWith('packs/')) return await super.putIfAbsent(name, parts, options)
    return await new Promise((_, reject) => {
      options.signal?.addEventListener('abort', () => reject(options.signal?.reason), { once: true })
    })
  }
}

test('a backup whose every step waits for the store is given up', { timeout: 30_000 }, async (t) => {
  const bytes = noise('endless', 65_536)
  for (const sequential of [false, true]) {
    for (const workers of [0, 2]) {
      let reads = 0
      const endless = sourceFrom({
        sequential,
        info: { sizeBytes: 2 ** 40 },
        extents: () => listed([{ offset: 0, length: 2 ** 40, kind: 'data' }]),
        read: async (offset, into) => {
          reads++
          const count = Math.min(into.length, bytes.length)
          into.set(bytes.subarray(0, count))
          // No block is like another.
          for (let at = 0; at < count; at += 4096) into.set(Buffer.from(String(offset + at)), at)
          return count
        },
      })
      const repo = await newRepository(new StuckStore())
      const abort = new AbortController()
      const backup = rejection(repo.backup(endless, { name: 'endless', workers, signal: abort.signal }))
      for (let before = -1; before !== reads || reads === 0; ) {
        before = reads
        await delay(100)
      }
      const reason = new Error('enough')
      abort.abort(reason)
      t.equal(await backup, reason, `${sequential ? 'a stream' : 'a disk'}, ${workers} workers`)
    }
  }
})

/** Lets the test see the worker threads that the packages start. */
const workers: Worker[] = []
const workerThreads = createRequire(import.meta.url)('node:worker_threads') as { Worker: typeof Worker }
const OriginalWorker = workerThreads.Worker
workerThreads.Worker = class extends OriginalWorker {
  constructor(...args: ConstructorParameters<typeof Worker>) {
    super(...args)
    workers.push(this)
  }
}
syncBuiltinESMExports()

test('a worker thread dies', { timeout: 60_000 }, async (t) => {
  const { store, had } = await storeWithSnapshot()
  const repo = await Repository.open(store)
  const image = noise('for a while', 3_000_000)
  const { id } = await backUp(repo, image, { name: 'large' })
  had.set(id, image)
  const slow = (bytes: Uint8Array): FaultSource =>
    new FaultSource(new MemorySource(bytes), { maxReadBytes: 512 })
  const works: Record<string, () => Promise<unknown>> = {
    backup: () => repo.backup(slow(noise('other', 3_000_000)), { name: 'disk', workers: 2 }),
    restore: () =>
      repo.restore(id, targetFrom({ write: async () => void (await delay(20)) }, new MemoryTarget()), {
        workers: 2,
      }),
    check: () => repo.check({ readData: true, workers: 2 }),
  }
  for (const [name, work] of Object.entries(works)) {
    for (const victims of [1, 2]) {
      workers.length = 0
      const outcome = codeOf(work())
      while (workers.length < 2) await delay(1)
      if (name !== 'check') await delay(victims * 60)
      for (const victim of workers.slice(0, victims)) void victim.terminate()
      t.equal(await outcome, 'ERR_WORKER_FAILED', `${victims} of 2 workers, ${name}`)
    }
  }
  await assertSound(t, store, had, 'after dead workers')
})

test('no threads are left behind', { timeout: 60_000 }, async (t) => {
  const repo = await newRepository()
  workers.length = 0
  await backUp(repo, OLD, { workers: 2 })
  await restored(repo, 'latest', 2)
  await repo.check({ readData: true, workers: 2 })
  const abort = new AbortController()
  const backup = rejection(backUp(repo, NEW, { workers: 2, signal: abort.signal }))
  while (workers.length < 8) await delay(1)
  abort.abort(new Error('enough'))
  await backup
  t.equal(workers.length, 8)
  // A thread that has ended has the number -1.
  t.same(
    workers.map(({ threadId }) => threadId),
    Array(8).fill(-1),
  )
})

test('a process that used a repository can end by itself', { timeout: 60_000 }, async (t) => {
  const script = fileURLToPath(new URL('./abort-child.js', import.meta.url))
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const killer = setTimeout(() => child.kill('SIGKILL'), 45_000)
  let output = ''
  child.stdout.on('data', (piece) => {
    output += piece
  })
  const code = await new Promise((resolve) => child.on('close', resolve))
  clearTimeout(killer)
  t.equal(output.trim(), 'done')
  t.equal(code, 0)
})

test('copies of a store are not touched by what is aborted later', async (t) => {
  // Whatever was under way when a backup was aborted must not commit afterwards.
  const { store, had } = await storeWithSnapshot()
  const abort = new AbortController()
  const repo = await Repository.open(store)
  const backup = rejection(backUp(repo, NEW, { signal: abort.signal }))
  for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve))
  abort.abort(new Error('enough'))
  await backup
  await delay(100)
  await assertSound(t, await copyOf(store), had, 'some time after an abort')
})

test('no rejection was left unhandled', async (t) => {
  await delay(50)
  t.same(unhandled, [])
})
