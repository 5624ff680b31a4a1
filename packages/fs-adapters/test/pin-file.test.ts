// The pin in a file: replaced whole, by one client at a time.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PlatterError } from '@platter/core'
import { PinFile } from '@platter/fs-adapters'
import { test } from 'tap'
import { holdPinLock } from '../dist/pin/pin-lock.js'

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'success',
    (error: unknown) => (error instanceof PlatterError ? error.code : String(error)),
  )
}

test('kept, replaced, and left as it was by what fails', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'pin')
  const pin = new PinFile(path)
  t.equal(pin.label, path)
  t.equal(await pin.load(), undefined)
  await pin.update((current) => {
    t.equal(current, undefined)
    return bytesOf('first')
  })
  t.same(await pin.load(), bytesOf('first'))
  if (process.platform !== 'win32') t.equal((await stat(path)).mode & 0o777, 0o600)
  await pin.update((current) => bytesOf(`${Buffer.from(current!).toString()}, second`))
  t.same(await new PinFile(path).load(), bytesOf('first, second'))
  await t.rejects(
    pin.update(() => {
      throw new Error('no')
    }),
    { message: 'no' },
  )
  t.same(await pin.load(), bytesOf('first, second'))
  t.same(await readdir(folder), ['pin'], 'nothing else is left')
})

test('what cannot be read or written says so', async (t) => {
  const folder = t.testdir({ 'a file': '' })
  const nowhere = new PinFile(join(folder, 'nowhere', 'pin'))
  t.equal(await nowhere.load(), undefined)
  t.equal(await codeOf(nowhere.update(() => bytesOf('x'))), 'ERR_PIN_IO')
  const inFile = new PinFile(join(folder, 'a file', 'pin'))
  t.equal(await codeOf(inFile.load()), 'ERR_PIN_IO')
  const isFolder = join(folder, 'folder')
  await mkdir(isFolder)
  t.equal(await codeOf(new PinFile(isFolder).load()), 'ERR_PIN_IO')
  t.equal(await codeOf(new PinFile(isFolder).update(() => bytesOf('x'))), 'ERR_PIN_IO')
  t.same((await readdir(folder)).sort(), ['a file', 'folder'])
})

/** Adds a word to the pin, so many times. */
const CHILD = `
  import { PinFile } from '${new URL('../dist/index.js', import.meta.url).href}'
  const [path, word, times] = process.argv.slice(1)
  const add = (current) => new Uint8Array(Buffer.from((current === undefined ? '' : Buffer.from(current)) + word))
  for (let i = 0; i < Number(times); i++) await new PinFile(path).update(add)
`

test('of changes made by many at a time none is lost', { skip: process.platform !== 'linux' }, async (t) => {
  const path = join(t.testdir(), 'pin')
  const children = ['a', 'b', 'c'].map((word) =>
    spawn(process.execPath, ['--input-type=module', '-e', CHILD, path, word, '20'], { stdio: 'inherit' }),
  )
  const pin = new PinFile(path)
  const add = (current: Uint8Array | undefined): Uint8Array => new Uint8Array([...(current ?? []), 100])
  const here = Array.from({ length: 20 }, () => pin.update(add))
  t.same(await Promise.all(children.map((child) => once(child, 'close'))), Array(3).fill([0, null]))
  await Promise.all(here)
  const words = Buffer.from((await pin.load())!).toString()
  for (const word of ['a', 'b', 'c', 'd']) t.equal(words.split(word).length - 1, 20, word)
})

test('whoever holds the lock is waited for, and its end ends it', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'pin')
  const lock = await holdPinLock(path)
  const other = await holdPinLock(join(folder, 'another'))
  await other.release()
  let isDone = false
  const update = new PinFile(path)
    .update(() => bytesOf('x'))
    .then(() => {
      isDone = true
    })
  await writeFile(join(folder, 'meanwhile'), '')
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
  t.notOk(isDone)
  await lock.release()
  await update
  t.ok(isDone)
})
