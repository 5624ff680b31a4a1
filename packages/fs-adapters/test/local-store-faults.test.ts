import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type ErrorCode, PlatterError } from '@platter/core'
import { LocalStore, nodeFileSystem, type StoreFileSystem } from '@platter/fs-adapters'
import {
  FaultFileSystem,
  type FaultPoint,
  PowerCutFileSystem,
  systemError,
} from '@platter/fs-adapters/testing'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const NAME = 'packs/3f/object'
const PARTS = [pattern(5000, 1), pattern(3000, 2), pattern(1, 3)]
const WHOLE = Buffer.concat(PARTS)
// A file system in memory where there is one: hundreds of stores are made.
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'local-store-faults-'))
let count = 0

interface Outcome {
  readonly result: 'created' | 'exists' | Error
  readonly path: string
  readonly fileSystem: FaultFileSystem
}

/** A put into a fresh store, with one call to the file system failing. */
async function putWithFault(fault: FaultPoint | undefined, maxWriteBytes?: number): Promise<Outcome> {
  const path = join(scratch, `store-${count++}`)
  await LocalStore.create(path)
  const fileSystem = new FaultFileSystem(fault, maxWriteBytes)
  const store = new LocalStore(path, { fileSystem })
  await store.stat(NAME) // the store knows its folder from here on
  fileSystem.arm()
  const result = await store.putIfAbsent(NAME, PARTS).catch((error: Error) => error)
  fileSystem.disarm()
  return { result, path, fileSystem }
}

test('the calls of a put come in the order that makes it durable', async (t) => {
  const { result, path, fileSystem } = await putWithFault(undefined)
  t.equal(result, 'created')
  const steps = fileSystem.log
    .filter(({ call }) => ['writev', 'sync', 'link'].includes(call))
    .map(
      ({ call, path: at }) =>
        `${call} ${at.startsWith(join(path, '.tmp')) ? 'temporary' : at.slice(path.length)}`,
    )
  t.same(steps, [
    'writev temporary',
    'sync temporary',
    'link /packs/3f/object',
    'sync /packs/3f',
    'sync /packs',
    'sync ',
  ])
})

test('folders above are synced once, and the folder of the object each time', async (t) => {
  const path = join(scratch, `store-${count++}`)
  const fileSystem = new FaultFileSystem()
  const store = await LocalStore.create(path, { fileSystem })
  const synced = async (name: string): Promise<string[]> => {
    fileSystem.arm()
    await store.putIfAbsent(name, PARTS)
    return fileSystem.log
      .filter(({ call, path: at }) => call === 'sync' && !at.includes('.tmp'))
      .map(({ path: at }) => at.slice(path.length))
  }
  t.same(await synced('a/b/one'), ['/a/b', '/a', ''])
  t.same(await synced('a/b/two'), ['/a/b'])
  t.same(await synced('a/c/three'), ['/a/c', '/a'])
  t.same(
    await synced('a/b/two'),
    ['/a/b'],
    'also for an object that exists: its creator may not have come so far',
  )
  t.same(await synced('top'), [''])
})

const CODES: Record<string, ErrorCode> = {
  ENOSPC: 'ERR_STORE_FULL',
  EDQUOT: 'ERR_STORE_FULL',
  EIO: 'ERR_STORE_IO',
  ESTALE: 'ERR_STORE_IO',
  ENOENT: 'ERR_STORE_IO',
  EMFILE: 'ERR_STORE_IO',
  EACCES: 'ERR_STORE_ACCESS',
  EROFS: 'ERR_STORE_ACCESS',
}

test('whatever call fails, with whatever error: never a part of an object, never a false success', async (t) => {
  const total = (await putWithFault(undefined, 4096)).fileSystem.log.length
  t.ok(total > 15, `${total} calls`)
  for (const [code, expected] of Object.entries(CODES)) {
    for (const when of ['before', 'after'] as const) {
      for (let index = 0; index < total; index++) {
        const { result, path, fileSystem } = await putWithFault({ index, code, when }, 4096)
        const faulty = fileSystem.log[index]
        const what = `${code} ${when} call ${index}, ${faulty?.call} of ${faulty?.path.slice(path.length)}`
        const final = join(path, NAME)
        if (existsSync(final) && !sameBytes(readFileSync(final), WHOLE))
          t.fail(`a part stands there: ${what}`)
        if (result instanceof Error) {
          if (!PlatterError.is(result, expected)) t.fail(`${result}, not ${expected}: ${what}`)
        } else if (result !== 'created' || !existsSync(final)) {
          t.fail(`${result}, and ${existsSync(final)}: ${what}`)
        }
        if (faulty?.call === 'sync' || faulty?.call === 'writev') {
          if (!(result instanceof Error)) t.fail(`a success that may not be durable: ${what}`)
        }
        const syncs = fileSystem.log.filter((entry) => entry.call === 'sync').map((entry) => entry.path)
        if (new Set(syncs).size !== syncs.length) t.fail(`a sync was tried again: ${what}`)
        const left = existsSync(join(path, '.tmp')) ? readdirSync(join(path, '.tmp')) : []
        if (left.length > 0 && faulty?.call !== 'unlink' && !(faulty?.call === 'open' && when === 'after')) {
          t.fail(`a temporary file is left: ${what}`)
        }
        // Afterwards the store works again, and the name is either free or the whole object stands there.
        const again = await new LocalStore(path).putIfAbsent(NAME, PARTS)
        if (again === 'exists' && result instanceof Error && statSync(final).size !== WHOLE.length)
          t.fail(what)
      }
    }
  }
  t.pass(`${total * Object.keys(CODES).length * 2} failures`)
})

test('a link whose answer was lost is recognised as ours', async (t) => {
  const log = (await putWithFault(undefined)).fileSystem.log
  const index = log.findIndex(({ call }) => call === 'link')
  for (const code of ['EEXIST', 'ESTALE', 'EIO', 'ETIMEDOUT', 'EPERM']) {
    t.equal((await putWithFault({ index, code, when: 'after' })).result, 'created', code)
  }
})

test('file systems without hard links are refused with an explanation', async (t) => {
  const log = (await putWithFault(undefined)).fileSystem.log
  const index = log.findIndex(({ call }) => call === 'link')
  for (const code of ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']) {
    const { result, path } = await putWithFault({ index, code, when: 'before' })
    t.ok(PlatterError.is(result, 'ERR_STORE_UNSUPPORTED'), code)
    t.match((result as Error).message, 'hard link')
    t.notOk(existsSync(join(path, NAME)))
  }
})

test('file systems that cannot sync a folder are accepted', async (t) => {
  const log = (await putWithFault(undefined)).fileSystem.log
  const index = log.findIndex(({ call, path }) => call === 'sync' && path.endsWith('3f'))
  t.equal((await putWithFault({ index, code: 'EINVAL', when: 'before' })).result, 'created')
  const file = log.findIndex(({ call }) => call === 'sync')
  t.ok((await putWithFault({ index: file, code: 'EINVAL', when: 'before' })).result instanceof Error)
})

test('a write that writes nothing fails instead of going on for ever', async (t) => {
  const fileSystem: StoreFileSystem = {
    ...nodeFileSystem,
    async open(path, flags, mode) {
      const file = await nodeFileSystem.open(path, flags, mode)
      return {
        read: file.read.bind(file),
        writev: async () => ({ bytesWritten: 0 }),
        sync: () => file.sync(),
        stat: (options) => file.stat(options),
        close: () => file.close(),
      }
    },
  }
  const store = await LocalStore.create(join(scratch, `store-${count++}`), { fileSystem })
  await rejection(store.putIfAbsent(NAME, PARTS), 'ERR_STORE_IO')
  t.equal(await store.putIfAbsent('empty', []), 'created')
})

test('reads that fail tell why, and only absence is absence', async (t) => {
  const path = join(scratch, `store-${count++}`)
  await (await LocalStore.create(path)).putIfAbsent(NAME, PARTS)
  for (const [code, expected] of Object.entries(CODES)) {
    for (let index = 0; ; index++) {
      const fileSystem = new FaultFileSystem({ index, code, when: 'before' })
      const store = new LocalStore(path, { fileSystem })
      await store.stat(NAME)
      fileSystem.arm()
      const outcome = await store.get(NAME).catch((error: Error) => error)
      fileSystem.disarm()
      if (fileSystem.log.length <= index) break
      const { call } = fileSystem.log[index] as { call: string }
      if (call === 'close') {
        t.ok(sameBytes(outcome as Uint8Array, WHOLE), 'what was read is right, whatever close says')
        continue
      }
      // What is opened and ENOENT is absent: the folder of the store is still there.
      const code2 = code === 'ENOENT' && call === 'open' ? 'ERR_NOT_FOUND' : expected
      if (!PlatterError.is(outcome, code2)) t.fail(`${code} in ${call}: ${outcome}, not ${code2}`)
    }
    const fileSystem = new FaultFileSystem({ index: 0, code, when: 'before' })
    const store = new LocalStore(path, { fileSystem })
    await store.get(NAME)
    fileSystem.arm()
    const found = await store.stat(NAME).catch((error: Error) => error)
    if (code === 'ENOENT') t.equal(found, undefined)
    else t.ok(PlatterError.is(found, expected), `stat ${code}`)
  }
})

test('delete that fails tells why', async (t) => {
  for (const [code, expected] of Object.entries(CODES)) {
    const path = join(scratch, `store-${count++}`)
    const fileSystem = new FaultFileSystem({ index: 0, code, when: 'before' })
    const store = await LocalStore.create(path, { fileSystem })
    await store.putIfAbsent(NAME, PARTS)
    fileSystem.arm()
    if (code === 'ENOENT') await store.delete(NAME)
    else await rejection(store.delete(NAME), expected)
  }
  t.pass()
})

test('a removal that was not durable is made so by the next one', async (t) => {
  const path = join(scratch, `store-${count++}`)
  const fileSystem = new FaultFileSystem({ call: 'sync', index: 0, code: 'EIO', when: 'before' })
  const store = await LocalStore.create(path, { fileSystem })
  await store.putIfAbsent(NAME, PARTS)
  fileSystem.arm()
  await rejection(store.delete(NAME), 'ERR_STORE_IO')
  fileSystem.log.length = 0
  await store.delete(NAME)
  t.ok(
    fileSystem.log.some(({ call, path: at }) => call === 'sync' && at === dirname(join(path, NAME))),
    'the folder is synced although nothing stood there any more',
  )
  await store.delete('packs/no/folder')
})

test('what was seen before it was durable can be made so', async (t) => {
  const path = join(scratch, `store-${count++}`)
  const disk = new PowerCutFileSystem(`${path}.removed`)
  await LocalStore.create(path)
  const log = (await putWithFault(undefined)).fileSystem.log
  const syncs = log.filter(({ call }) => call === 'sync').length
  t.equal(syncs, 4)
  for (const isSettled of [false, true]) {
    for (let index = 1; index < syncs; index++) {
      const fault = { call: 'sync', index, code: 'EIO', when: 'before' } as const
      const fileSystem = new FaultFileSystem(fault, undefined, disk)
      fileSystem.arm()
      await rejection(new LocalStore(path, { fileSystem }).putIfAbsent(NAME, PARTS), 'ERR_STORE_IO')
      const store = new LocalStore(path, { fileSystem: disk })
      t.ok(await store.stat(NAME), 'it is seen')
      if (isSettled) await store.settle(`${dirname(NAME)}/`)
      await disk.cutPower()
      t.equal((await store.stat(NAME)) !== undefined, isSettled, `sync ${index}, settled: ${isSettled}`)
      await store.delete(NAME)
      rmSync(join(path, 'packs'), { recursive: true, force: true })
    }
  }
  await new LocalStore(path).settle('nothing/here/')
  const failing = new FaultFileSystem({ call: 'sync', index: 0, code: 'EIO', when: 'before' })
  const store = new LocalStore(path, { fileSystem: failing })
  await store.putIfAbsent(NAME, PARTS)
  failing.arm()
  await rejection(store.settle('packs/3f/'), 'ERR_STORE_IO')
})

test('a folder of the store whose creation was not durable is made so by the next attempt', async (t) => {
  for (const create of [false, true]) {
    const path = join(scratch, `store-${count++}`, 'of', 'stores')
    const disk = new PowerCutFileSystem(join(scratch, `removed-${count++}`))
    for (let index = 0; index < 3; index++) {
      const fault = { call: 'sync', index, code: 'EIO', when: 'before' } as const
      const fileSystem = new FaultFileSystem(fault, undefined, disk)
      fileSystem.arm()
      await rejection(LocalStore.create(path, { fileSystem }), 'ERR_STORE_IO')
    }
    const options = { fileSystem: disk, create }
    const store = create ? new LocalStore(path, options) : await LocalStore.create(path, options)
    await store.putIfAbsent(NAME, PARTS)
    await disk.cutPower()
    t.ok(sameBytes(await new LocalStore(path).get(NAME), WHOLE), `create: ${create}`)
  }
})

test('a store whose folder cannot be looked at is not called gone', async (t) => {
  for (const [code, expected] of Object.entries(CODES)) {
    if (code === 'ENOENT') continue
    const path = join(scratch, `store-${count++}`)
    await LocalStore.create(path)
    const fileSystem = new FaultFileSystem({ index: 0, code, when: 'before', sticky: true })
    const store = new LocalStore(path, { fileSystem })
    await store.stat(NAME)
    fileSystem.arm()
    const error = await rejection(store.putIfAbsent(NAME, PARTS), expected)
    t.equal(error.details.systemCode, code)
    t.notMatch(error.message, /gone/)
  }
})

test('a reserve that another process has just made stays', async (t) => {
  const path = join(scratch, `store-${count++}`)
  await (await LocalStore.create(path)).keepReserve(1000)
  let looks = 0
  const fileSystem: StoreFileSystem = {
    ...nodeFileSystem,
    // It is not there yet when it is looked for, nor when it is to be removed, and then it is.
    open: async (at, flags, mode) => {
      if (at.endsWith('reserve') && mode === undefined) throw systemError('ENOENT', 'open')
      return await nodeFileSystem.open(at, flags, mode)
    },
    unlink: async (at) => {
      if (looks++ === 0) throw systemError('ENOENT', 'unlink')
      await nodeFileSystem.unlink(at)
    },
  }
  await new LocalStore(path, { fileSystem }).keepReserve(1000)
  t.equal(statSync(join(path, '.tmp', 'reserve')).size, 1000)
})

test('a folder of the store that is removed under it', async (t) => {
  const path = join(scratch, `store-${count++}`)
  const store = await LocalStore.create(path)
  await store.putIfAbsent(NAME, PARTS)
  rmSync(dirname(join(path, NAME)), { recursive: true })
  await rejection(store.putIfAbsent(NAME, PARTS), 'ERR_STORE_IO')
  t.equal(await store.putIfAbsent(NAME, PARTS), 'created', 'the next put creates the folder again')
})

test('creating a store whose folder cannot be made durable fails', async (t) => {
  const fileSystem: StoreFileSystem = {
    ...nodeFileSystem,
    async open() {
      throw systemError('EIO', 'open')
    },
  }
  await rejection(LocalStore.create(join(scratch, 'new/folder'), { fileSystem }), 'ERR_STORE_IO')
  await rejection(LocalStore.create('/proc/no/folder'), 'ERR_STORE_IO')
  await rejection(LocalStore.create('/dev/null'), 'ERR_STORE_UNSUPPORTED')
  await rejection(new LocalStore('/dev/null').get(NAME), 'ERR_STORE_UNSUPPORTED')
  t.teardown(() => rmSync(scratch, { recursive: true }))
})
