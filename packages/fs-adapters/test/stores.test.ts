import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { StoreStat } from '@platter/core'
import { LocalStore, MemoryStore } from '@platter/fs-adapters'
import { FaultFileSystem, FaultStore, storeConformance } from '@platter/fs-adapters/testing'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const isRoot = process.getuid?.() === 0

async function listNames(store: { list(prefix: string): AsyncIterable<StoreStat> }): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of store.list('')) names.push(name)
  return names.sort()
}

test('MemoryStore keeps what a store promises', async (t) => {
  const cases = storeConformance(async () => new MemoryStore(), { racedNames: 1000 })
  for (const { name, run } of cases) await t.test(name, run)
})

test('FaultStore without faults keeps what a store promises', async (t) => {
  const cases = storeConformance(async () => new FaultStore(new MemoryStore()), { racedNames: 1000 })
  for (const { name, run } of cases) await t.test(name, run)
})

test('LocalStore keeps what a store promises', async (t) => {
  const base = t.testdir()
  let count = 0
  for (const { name, run } of storeConformance(() => LocalStore.create(join(base, `store-${count++}`)))) {
    await t.test(name, run)
  }
})

test('LocalStore keeps it also where every write is short', async (t) => {
  const base = t.testdir()
  let count = 0
  const create = () => {
    const fileSystem = new FaultFileSystem(undefined, 1_000_003)
    return LocalStore.create(join(base, `store-${count++}`), { fileSystem })
  }
  for (const { name, run } of storeConformance(create, { racers: 8, racedNames: 3, manyObjects: 20 }))
    await t.test(name, run)
})

test('LocalStore: a folder that is missing', async (t) => {
  const path = join(t.testdir(), 'missing')
  const store = new LocalStore(path)
  const error = await rejection(store.get('config'), 'ERR_NOT_FOUND')
  t.match(error.message, path, 'the message names the folder')
  await rejection(store.stat('config'), 'ERR_NOT_FOUND')
  await rejection(listNames(store), 'ERR_NOT_FOUND')
  await rejection(store.putIfAbsent('config', []), 'ERR_NOT_FOUND')
  t.equal(statSync(path, { throwIfNoEntry: false }), undefined, 'nothing was created')

  const creating = new LocalStore(path, { create: true })
  t.equal(await creating.putIfAbsent('config', [pattern(3)]), 'created')
  t.equal((await store.get('config')).length, 3, 'the first instance finds it now')
})

test('LocalStore: a file where the folder should be', async (t) => {
  const folder = t.testdir({ file: 'x' })
  for (const path of [join(folder, 'file'), join(folder, 'file', 'below')]) {
    const store = new LocalStore(path, { create: true })
    for (const call of [
      () => store.get('config'),
      () => store.getRange('config', 0, 1),
      () => store.stat('config'),
      () => listNames(store),
      () => store.putIfAbsent('config', [pattern(3)]),
      () => store.delete('config'),
      () => LocalStore.create(path),
    ]) {
      const error = await rejection(call(), 'ERR_STORE_UNSUPPORTED')
      t.match(error.message, `'${path}' cannot be a store`)
    }
  }
  t.equal(readFileSync(join(folder, 'file'), 'utf8'), 'x', 'the file is as it was')
})

test('LocalStore: a folder that vanishes is no absence', async (t) => {
  for (const replaced of [false, true]) {
    const base = t.testdir()
    const path = join(base, 'store')
    const store = await LocalStore.create(path)
    await store.putIfAbsent('a/object', [pattern(3)])
    renameSync(path, join(base, 'elsewhere'))
    if (replaced) mkdirSync(path) // as an empty mount point
    const what = replaced ? 'replaced' : 'gone'
    for (const call of [
      () => store.get('a/object'),
      () => store.getRange('a/object', 0, 1),
      () => store.stat('a/object'),
      () => store.delete('a/object'),
      () => store.putIfAbsent('a/other', []),
      () => listNames(store),
    ]) {
      const error = await rejection(call(), 'ERR_STORE_IO')
      t.match(error.message, 'unmounted', what)
    }
    const creating = new LocalStore(path, { create: true })
    if (replaced) t.same(readdirSync(path), [], 'nothing was written to the mount point')
    else t.equal(await creating.stat('x').catch(() => 'refused'), 'refused')
    rmSync(path, { recursive: true, force: true })
    renameSync(join(base, 'elsewhere'), path)
    t.equal((await store.get('a/object')).length, 3, 'back again')
  }
})

test('LocalStore: names that no object could have are passed over', async (t) => {
  const path = t.testdir()
  const store = new LocalStore(path)
  await store.putIfAbsent('packs/one', [pattern(3)])
  for (const folder of ['lost+found', '@eaDir', 'packs/@eaDir', '.snapshot', '#recycle']) {
    mkdirSync(join(path, folder))
    writeFileSync(join(path, folder, 'thing'), 'x')
    if (folder === 'lost+found') chmodSync(join(path, folder), 0)
  }
  for (const file of ['.nfs000012', 'packs/.DS_Store', 'Thumbs.db', 'packs/UPPER']) {
    writeFileSync(join(path, file), 'x')
  }
  execFileSync('mkfifo', [join(path, 'packs/fifo')])
  t.same(await listNames(store), ['packs/one'])
  await rejection(store.get('packs/fifo'), 'ERR_NOT_FOUND')
  await rejection(store.putIfAbsent('packs/fifo', []), 'ERR_STORE_IO')
  chmodSync(join(path, 'lost+found'), 0o700)
})

test('LocalStore: a listing with a folder that cannot be read throws', async (t) => {
  const path = t.testdir({ packs: { '3f': { one: 'x' } }, other: { two: 'x' } })
  await t.test('for want of permission', { skip: isRoot && 'root may read everything' }, async (t) => {
    chmodSync(join(path, 'packs/3f'), 0)
    await rejection(listNames(new LocalStore(path)), 'ERR_STORE_ACCESS')
    await rejection(new LocalStore(path).get('packs/3f/one'), 'ERR_STORE_ACCESS')
    await rejection(new LocalStore(path).stat('packs/3f/one'), 'ERR_STORE_ACCESS')
    chmodSync(join(path, 'packs/3f'), 0o700)
    t.pass()
  })
  for (const code of ['EACCES', 'EIO', 'ESTALE', 'ENOENT', 'EMFILE']) {
    for (let index = 0; ; index++) {
      const fileSystem = new FaultFileSystem({ index, code, when: 'before' })
      const store = new LocalStore(path, { fileSystem })
      await store.stat('other/two')
      fileSystem.arm()
      const outcome = await listNames(store).catch((error: Error) => error)
      fileSystem.disarm()
      if (fileSystem.log.length <= index) break
      const { call, path: at } = fileSystem.log[index] as { call: string; path: string }
      const isFileStat = call === 'stat' && at !== path
      if (code === 'ENOENT' && isFileStat) {
        t.ok(Array.isArray(outcome), 'a file removed meanwhile is left out')
      } else if (call === 'stat') {
        t.ok(isFileStat ? outcome instanceof Error : Array.isArray(outcome), `${code} in ${call} of ${at}`)
      } else {
        t.ok(outcome instanceof Error, `${code} in ${call} of ${at} is told`)
      }
    }
  }
})

test('LocalStore: a listing of a folder that cannot be read, or that loses its store, throws', async (t) => {
  const base = t.testdir({ store: { packs: { one: 'x' } } })
  const path = join(base, 'store')
  for (const code of ['EACCES', 'EIO', 'ESTALE']) {
    const fileSystem = new FaultFileSystem({ index: 1, code, when: 'before' })
    const store = new LocalStore(path, { fileSystem })
    await store.stat('packs/one')
    fileSystem.arm()
    const list = async (): Promise<void> => {
      for await (const _ of store.list('packs/'));
    }
    await rejection(list(), code === 'EACCES' ? 'ERR_STORE_ACCESS' : 'ERR_STORE_IO')
    t.match(fileSystem.log[1], { call: 'readdir' })
  }
  const store = new LocalStore(path)
  const list = async (): Promise<void> => {
    for await (const _ of store.list('packs/')) {
      renameSync(path, join(base, 'elsewhere'))
      mkdirSync(path)
    }
  }
  await rejection(list(), 'ERR_STORE_IO')
})

test('LocalStore: links to files and folders are followed', async (t) => {
  const path = t.testdir({ big: { one: 'xyz' }, packs: {}, real: 'abc' })
  symlinkSync(join(path, 'big'), join(path, 'packs/elsewhere'))
  symlinkSync('real', join(path, 'alias'))
  symlinkSync('nowhere', join(path, 'dangling'))
  const names = await listNames(new LocalStore(path))
  t.ok(names.includes('packs/elsewhere/one'))
  t.ok(names.includes('alias'))
  t.notOk(names.includes('dangling'))
  t.equal((await new LocalStore(path).get('packs/elsewhere/one')).length, 3)
  symlinkSync('.', join(path, 'packs/loop'))
  await rejection(listNames(new LocalStore(path)), 'ERR_STORE_IO')
})

test('LocalStore: a folder in the place of an object', async (t) => {
  const store = new LocalStore(t.testdir())
  await store.putIfAbsent('a/b', [pattern(1)])
  await rejection(store.putIfAbsent('a', []), 'ERR_STORE_IO')
  await rejection(store.putIfAbsent('a/b/c', []), 'ERR_STORE_IO')
  await rejection(store.get('a/b/c'), 'ERR_NOT_FOUND')
  t.same(await listNames(store), ['a/b'])
})

test('LocalStore: temporary files', async (t) => {
  const path = t.testdir()
  await new LocalStore(path).putIfAbsent('first', [])
  t.same(readdirSync(join(path, '.tmp')), [], 'none is left behind')
  const names = { stale: 'a'.repeat(32), fresh: 'b'.repeat(32), foreign: 'notes.txt' }
  for (const name of Object.values(names)) writeFileSync(join(path, '.tmp', name), 'x')
  const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000)
  utimesSync(join(path, '.tmp', names.stale), hoursAgo(25), hoursAgo(25))
  utimesSync(join(path, '.tmp', names.fresh), hoursAgo(23), hoursAgo(23))
  utimesSync(join(path, '.tmp', names.foreign), hoursAgo(99), hoursAgo(99))
  await new LocalStore(path).putIfAbsent('second', [])
  t.same(readdirSync(join(path, '.tmp')).sort(), [names.fresh, names.foreign].sort())
  t.same(await listNames(new LocalStore(path)), ['first', 'second'], 'they are not objects')
})

test('LocalStore: permissions', async (t) => {
  const base = t.testdir()
  const closed = await LocalStore.create(join(base, 'closed'))
  await closed.putIfAbsent('a/b', [])
  t.equal(statSync(join(base, 'closed')).mode & 0o777, 0o700)
  t.equal(statSync(join(base, 'closed/a')).mode & 0o777, 0o700)
  t.equal(statSync(join(base, 'closed/a/b')).mode & 0o777, 0o600)
  const previous = process.umask(0)
  const open = await LocalStore.create(join(base, 'open'), { fileMode: 0o640, folderMode: 0o750 })
  await open.putIfAbsent('a/b', [])
  process.umask(previous)
  t.equal(statSync(join(base, 'open/a')).mode & 0o777, 0o750)
  t.equal(statSync(join(base, 'open/a/b')).mode & 0o777, 0o640)
})

test('LocalStore: an object cut short behind its back', async (t) => {
  const path = t.testdir()
  const store = new LocalStore(path)
  await store.putIfAbsent('object', [pattern(1000)])
  writeFileSync(join(path, 'object'), pattern(500))
  await rejection(store.getRange('object', 400, 200), 'ERR_STORE_IO')
  t.equal((await store.get('object')).length, 500)
})

test('LocalStore: a hard link from outside does not make an object ours', async (t) => {
  const path = t.testdir({ other: 'x' })
  linkSync(join(path, 'other'), join(path, 'taken'))
  t.equal(await new LocalStore(path).putIfAbsent('taken', [pattern(3)]), 'exists')
})

test('LocalStore: real file systems', { skip: !isRoot && 'mounting needs root' }, async (t) => {
  const base = t.testdir({ mnt: {} })
  const image = join(base, 'image')
  const mountPoint = join(base, 'mnt')
  const withMount = async (make: () => void, work: () => Promise<void>): Promise<boolean> => {
    try {
      make()
      execFileSync('mount', ['-o', 'loop', image, mountPoint], { stdio: 'ignore' })
    } catch {
      return false
    }
    try {
      await work()
    } finally {
      execFileSync('umount', ['-l', mountPoint])
    }
    return true
  }

  const fat = await withMount(
    () => {
      writeFileSync(image, '')
      execFileSync('truncate', ['-s', '32M', image])
      execFileSync('mkfs.vfat', [image], { stdio: 'ignore' })
    },
    async () => {
      const error = await rejection(
        new LocalStore(mountPoint).putIfAbsent('a/b', [pattern(3)]),
        'ERR_STORE_UNSUPPORTED',
      )
      t.match(error.message, 'hard link')
      t.same(await listNames(new LocalStore(mountPoint)), [])
      t.same(readdirSync(join(mountPoint, '.tmp')), [])
    },
  )
  if (!fat) t.comment('not tested: no FAT here')

  const full = await withMount(
    () => {
      execFileSync('truncate', ['-s', '8M', image])
      execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', image], { stdio: 'ignore' })
    },
    async () => {
      const store = new LocalStore(mountPoint)
      await rejection(store.putIfAbsent('too/large', [pattern(20_000_000)]), 'ERR_STORE_FULL')
      t.equal(await store.stat('too/large'), undefined)
      t.same(readdirSync(join(mountPoint, '.tmp')), [])
      t.equal(await store.putIfAbsent('small', [pattern(1000)]), 'created')
      execFileSync('mount', ['-o', 'remount,ro', mountPoint])
      await rejection(store.putIfAbsent('read/only', []), 'ERR_STORE_ACCESS')
      await rejection(store.delete('small'), 'ERR_STORE_ACCESS')
      t.ok(sameBytes(await store.get('small'), pattern(1000)))

      execFileSync('umount', ['-l', mountPoint])
      await rejection(store.get('small'), 'ERR_STORE_IO')
      await rejection(listNames(store), 'ERR_STORE_IO')
      execFileSync('mount', ['-o', 'loop', image, mountPoint], { stdio: 'ignore' })
    },
  )
  if (!full) t.comment('not tested: no ext4 here')
})
