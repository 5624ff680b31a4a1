// Restores to a file whose system calls fail: never a success that is none, and the next restore works.
import { execFileSync } from 'node:child_process'
import fs, { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PlatterError } from '@platter/core'
import { FileTarget } from '@platter/fs-adapters'
import { systemError } from '@platter/fs-adapters/testing'
import { type Test, test } from 'tap'
import { backUp, codeOf, diskImage, newRepository, rejection, sameBytes } from './adversity.ts'

const IMAGE = diskImage('to a file', 200_001)
const scratch = mkdtempSync(join(tmpdir(), 'file-target-faults-'))
const repo = await newRepository()
await backUp(repo, IMAGE)
let count = 0

const CODES: Readonly<Record<string, string>> = {
  ENOSPC: 'ERR_TARGET_FULL',
  EDQUOT: 'ERR_TARGET_FULL',
  EIO: 'ERR_TARGET_WRITE',
  ESTALE: 'ERR_TARGET_WRITE',
  EINTR: 'ERR_TARGET_WRITE',
}

/** Restores to a new file and gives the outcome, as a code, and the error. */
async function restoreToFile(path: string): Promise<{ readonly code: string; readonly error: unknown }> {
  let error: unknown
  const code = await codeOf(
    (async () => {
      await using target = await FileTarget.open(path, { overwrite: true })
      await repo.restore('latest', target, { workers: 0 })
    })().catch((reason: unknown) => {
      error = reason
      throw reason
    }),
  )
  return { code, error }
}

/** As the workers of a restore call it. */
type Write = (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => number

/** Lets `replacement` stand in for `fs.writeSync`, which the workers of a restore call. */
async function withWriteSync<T>(
  replacement: (write: Write, ...args: Parameters<Write>) => number,
  work: () => Promise<T>,
): Promise<T> {
  const { writeSync } = fs
  const replaced: Write = (...args) => replacement(writeSync, ...args)
  fs.writeSync = replaced as typeof fs.writeSync
  syncBuiltinESMExports()
  try {
    return await work()
  } finally {
    fs.writeSync = writeSync
    syncBuiltinESMExports()
  }
}

/** Lets the n-th call of a method of file handles fail. */
async function withFailing<T>(
  method: 'sync' | 'truncate' | 'stat',
  nth: number,
  code: string,
  work: () => Promise<T>,
): Promise<T> {
  const handle = await open(process.execPath)
  await handle.close()
  const prototype = Object.getPrototypeOf(handle) as Record<string, unknown>
  const original = prototype[method] as (this: FileHandle, ...args: unknown[]) => Promise<unknown>
  let calls = 0
  prototype[method] = async function (this: FileHandle, ...args: unknown[]): Promise<unknown> {
    if (calls++ === nth) throw systemError(code, method)
    return await original.apply(this, args)
  }
  try {
    return await work()
  } finally {
    prototype[method] = original
  }
}

async function assertNextWorks(t: Test, path: string, what: string): Promise<void> {
  t.equal((await restoreToFile(path)).code, 'success', `${what}: the next restore`)
  t.ok(sameBytes(readFileSync(path), IMAGE), `${what}: and its bytes`)
}

test('short writes are continued', async (t) => {
  const path = join(scratch, `${count++}`)
  let calls = 0
  const { code } = await withWriteSync(
    (write, fd, bytes, offset, length, position) =>
      write(fd, bytes, offset, Math.min(length, 1 + (calls++ % 5) * 1000), position),
    () => restoreToFile(path),
  )
  t.equal(code, 'success')
  t.ok(calls > 20, `${calls} writes`)
  t.ok(sameBytes(readFileSync(path), IMAGE))
})

test('any one write fails, before or after it wrote a part', async (t) => {
  let total = 0
  await withWriteSync(
    (write, ...args) => {
      total++
      return write(...args)
    },
    () => restoreToFile(join(scratch, `${count++}`)),
  )
  t.ok(total >= 3, `${total} writes`)
  for (let nth = 0; nth < total; nth++) {
    for (const [systemCode, expected] of Object.entries(CODES)) {
      const path = join(scratch, `${count++}`)
      let calls = 0
      const failing: Parameters<typeof withWriteSync>[0] = (write, fd, bytes, offset, length, position) => {
        if (calls++ !== nth) return write(fd, bytes, offset, length, position)
        if (nth % 2 === 0) write(fd, bytes, offset, length >>> 1, position)
        throw systemError(systemCode, 'write')
      }
      const { code, error } = await withWriteSync(failing, () => restoreToFile(path))
      const what = `${systemCode} in write ${nth}`
      t.equal(code, expected, what)
      t.equal((error as PlatterError).details.systemCode, systemCode)
      if (systemCode === 'EIO') await assertNextWorks(t, path, what)
    }
  }
  const path = join(scratch, `${count++}`)
  const { code } = await withWriteSync(
    () => 0,
    () => restoreToFile(path),
  )
  t.equal(code, 'ERR_TARGET_WRITE', 'a write that writes nothing')
  await assertNextWorks(t, path, 'nothing')
})

test('a sync that fails fails the restore, and is not believed when tried again', async (t) => {
  for (const [systemCode, expected] of Object.entries(CODES)) {
    // The first is of the file, the second of the folder that it is new in.
    for (const nth of [0, 1]) {
      const path = join(scratch, `${count++}`)
      const { code, error } = await withFailing('sync', nth, systemCode, () => restoreToFile(path))
      t.equal(code, expected, `${systemCode} in sync ${nth}`)
      t.equal((error as PlatterError).details.systemCode, systemCode)
      await assertNextWorks(t, path, `${systemCode} in sync ${nth}`)
    }
  }
  const path = join(scratch, `${count++}`)
  await using target = await FileTarget.open(path)
  await target.prepare(4096)
  await target.write(0, new Uint8Array(4096).fill(1))
  const first = await withFailing('sync', 0, 'EIO', () => rejection(target.flush()))
  t.ok(PlatterError.is(first, 'ERR_TARGET_WRITE'))
  t.equal(await rejection(target.flush()), first, 'the kernel would say now that all is well')
})

test('a file that cannot be given its size', async (t) => {
  for (const [systemCode, expected] of Object.entries({ ...CODES, EFBIG: 'ERR_TARGET_TOO_SMALL' })) {
    const path = join(scratch, `${count++}`)
    const { code } = await withFailing('truncate', 0, systemCode, () => restoreToFile(path))
    t.equal(code, expected, systemCode)
    await assertNextWorks(t, path, systemCode)
  }
  const path = join(scratch, `${count++}`)
  const { code } = await withFailing('stat', 0, 'EIO', () => restoreToFile(path))
  t.equal(code, 'ERR_TARGET_WRITE', 'a file that cannot be looked at')
})

test('a file system of the kernel that is full', { timeout: 60_000 }, async (t) => {
  const mountPoint = mkdtempSync(join(tmpdir(), 'small-target-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100k', 'tmpfs', mountPoint], { stdio: 'ignore' })
  } catch {
    rmSync(mountPoint, { recursive: true })
    t.comment('needs the right to mount')
    return
  }
  try {
    for (const workers of [0, 2]) {
      await using target = await FileTarget.open(join(mountPoint, `image ${workers}`))
      const error = await rejection(repo.restore('latest', target, { workers }))
      t.ok(PlatterError.is(error, 'ERR_TARGET_FULL'), `${workers} workers`)
      t.equal((error as PlatterError).details.systemCode, 'ENOSPC')
    }
  } finally {
    execFileSync('umount', [mountPoint])
    rmSync(mountPoint, { recursive: true })
  }
})

test('the scratch folder goes', async () => {
  rmSync(scratch, { recursive: true })
})
