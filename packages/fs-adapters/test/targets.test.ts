import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlockTarget } from '@platter/core'
import { FileSource, FileTarget, loadLinuxCalls, MemoryTarget, openTarget } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const isRoot = process.getuid?.() === 0
const linuxCalls = loadLinuxCalls()

/** Bytes a file occupies, holes not counted. */
function identityOf(path: string): string {
  const { dev, ino } = statSync(path)
  return `${dev}:${ino}`
}

function allocatedBytes(path: string): number {
  return statSync(path).blocks * 512
}

test('a new file gets the image, its size exactly, and stays sparse', async (t) => {
  const path = join(t.testdir(), 'image')
  const GiB = 2 ** 30
  const target = await openTarget(path)
  t.same(target.info, { kind: 'file', label: path, capacityBytes: undefined, identity: identityOf(path) })
  t.equal(target.sequential, false)
  t.same(await target.prepare(4 * GiB + 1), { blank: true })
  t.type(target.direct?.fd, 'number')
  await target.write(4 * GiB, pattern(1))
  await target.write(1_000_000, pattern(10_000))
  await target.flush()
  await target.close()
  await target.close()
  t.equal(statSync(path).size, 4 * GiB + 1)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.ok(allocatedBytes(path) < 200_000, `${allocatedBytes(path)} bytes allocated`)
  const handle = await open(path)
  const into = new Uint8Array(10_000)
  await handle.read(into, 0, 10_000, 1_000_000)
  t.ok(sameBytes(into, pattern(10_000)))
  await handle.close()
})

test('sizes around a block', async (t) => {
  const folder = t.testdir()
  for (const size of [0, 1, 4095, 4096, 4097]) {
    const path = join(folder, `image-${size}`)
    await using target = await openTarget(path)
    t.same(await target.prepare(size), { blank: true })
    if (size > 0) await target.write(0, pattern(size))
    await target.flush()
    t.ok(sameBytes(readFileSync(path), pattern(size)), `${size} bytes`)
  }
})

test('an existing file is overwritten only when asked, and then wholly', async (t) => {
  const path = join(t.testdir({ image: 'precious' }), 'image')
  const error = await rejection(openTarget(path), 'ERR_TARGET_EXISTS')
  t.equal(error.details.path, path)
  t.equal(readFileSync(path, 'utf8'), 'precious')

  writeFileSync(path, pattern(100_000))
  await using target = await openTarget(path, { overwrite: true })
  t.ok(sameBytes(readFileSync(path), pattern(100_000)), 'nothing happens before prepare')
  t.same(await target.prepare(50_000), { blank: true })
  t.ok(sameBytes(readFileSync(path), new Uint8Array(50_000)), 'emptied')

  const empty = join(t.testdir({ empty: '' }), 'empty')
  await using emptyTarget = await openTarget(empty)
  t.same(await emptyTarget.prepare(10), { blank: true }, 'an empty file is no content')
})

test('kept content is extended or cut to the size of the image', async (t) => {
  const path = join(t.testdir(), 'image')
  for (const [before, size] of [
    [10_000, 20_000],
    [20_000, 10_000],
    [10_000, 10_000],
  ] as const) {
    writeFileSync(path, pattern(before))
    await using target = await openTarget(path, { overwrite: true })
    t.same(await target.prepare(size, { keepContent: true }), { blank: false })
    const expected = new Uint8Array(size)
    expected.set(pattern(before).subarray(0, size))
    t.ok(sameBytes(readFileSync(path), expected), `${before} to ${size}`)
    const into = new Uint8Array(size + 10)
    t.equal(await target.read?.(0, into), size)
    t.ok(sameBytes(into.subarray(0, size), expected))
    t.equal(await target.read?.(size, into), 0)
  }
  const fresh = join(t.testdir(), 'fresh')
  await using target = await openTarget(fresh)
  t.same(await target.prepare(10, { keepContent: true }), { blank: true }, 'there was nothing to keep')
})

test('zeroing punches holes, and writes zeros where that cannot be done', async (t) => {
  const folder = t.testdir()
  const refuse = (code: string) => async (): Promise<never> => {
    throw Object.assign(new Error(code), { code })
  }
  const size = 8_000_000
  const variants = {
    native: {},
    absent: { linuxCalls: false },
    refused: linuxCalls ? { linuxCalls: { ...linuxCalls, punchHole: refuse('EOPNOTSUPP') } } : {},
  } as const
  for (const [name, options] of Object.entries(variants)) {
    const path = join(folder, name)
    writeFileSync(path, pattern(size))
    const expected = pattern(size)
    await using target = await FileTarget.open(path, { ...options, overwrite: true })
    await target.prepare(size, { keepContent: true })
    for (const [offset, length] of [
      [0, 1],
      [1000, 5000],
      [1_000_000, 3_000_001],
      [7_999_999, 1],
      [5, 0],
    ] as const) {
      await target.zero(offset, length)
      expected.fill(0, offset, offset + length)
    }
    await target.flush()
    t.ok(sameBytes(readFileSync(path), expected), name)
    t.equal(statSync(path).size, size)
    if (name === 'native' && linuxCalls) t.ok(allocatedBytes(path) < size - 2_500_000, 'space was given back')
  }
  if (linuxCalls) {
    const path = join(folder, 'failing')
    const calls = { ...linuxCalls, punchHole: refuse('ENOSPC') }
    await using target = await FileTarget.open(path, { linuxCalls: calls })
    await target.prepare(1000)
    const error = await rejection(target.zero(10, 10), 'ERR_TARGET_FULL')
    t.equal(error.details.offset, 10)
  }
})

test('any writes and zeros make the image that a plain array gets', async (t) => {
  const folder = t.testdir()
  let count = 0
  const step = fc.record({
    zero: fc.boolean(),
    offset: fc.nat(100_000),
    length: fc.nat(30_000),
    seed: fc.nat(255),
  })
  await fc.assert(
    fc.asyncProperty(fc.nat(100_000), fc.array(step, { maxLength: 15 }), async (size, steps) => {
      const targets: BlockTarget[] = [new MemoryTarget(), await openTarget(join(folder, `image-${count++}`))]
      const expected = new Uint8Array(size)
      for (const target of targets) await target.prepare(size)
      for (const { zero, offset, length, seed } of steps) {
        if (offset + length > size) continue
        const data = zero ? new Uint8Array(length) : pattern(length, seed)
        expected.set(data, offset)
        for (const target of targets) await (zero ? target.zero(offset, length) : target.write(offset, data))
      }
      for (const target of targets) {
        const into = new Uint8Array(size + 1)
        if ((await target.read?.(0, into)) !== size) throw new Error(`${target.info.kind}: size`)
        if (!sameBytes(into.subarray(0, size), expected)) throw new Error(`${target.info.kind}: content`)
        await target.close()
      }
    }),
    { numRuns: 50 },
  )
  t.pass()
})

test('misuse is refused', async (t) => {
  const path = join(t.testdir(), 'image')
  const target = await openTarget(path)
  await rejection(target.write(0, pattern(1)), 'ERR_INVALID_ARGUMENT')
  await target.prepare(100)
  for (const [offset, length] of [
    [100, 1],
    [-1, 1],
    [0.5, 1],
    [0, 101],
  ] as const) {
    await rejection(target.write(offset, pattern(length)), 'ERR_INVALID_ARGUMENT')
    await rejection(target.zero(offset, length), 'ERR_INVALID_ARGUMENT')
  }
  const options = { signal: AbortSignal.abort() }
  await t.rejects(target.write(0, pattern(1), options), { name: 'AbortError' })
  await t.rejects(target.zero(0, 1, options), { name: 'AbortError' })
  await target.close()
  await rejection(target.write(0, pattern(1)), 'ERR_CLOSED')
  await rejection(target.flush(), 'ERR_CLOSED')
  await rejection(target.prepare(1), 'ERR_CLOSED')
})

test('an abort stops zeroing in the middle, with its own reason', async (t) => {
  await using target = await FileTarget.open(join(t.testdir(), 'image'), { linuxCalls: false })
  await target.prepare(2 ** 30)
  const controller = new AbortController()
  const reason = new Error('enough')
  const zeroing = target.zero(0, 2 ** 30, { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 5)
  await t.rejects(zeroing, reason)
})

test('a file created for nothing is removed again', async (t) => {
  const folder = t.testdir({ empty: '' })
  const unused = await openTarget(join(folder, 'unused'))
  await unused.close()
  const kept = await openTarget(join(folder, 'empty'))
  await kept.close()
  t.same(readdirSync(folder), ['empty'])
})

test('what cannot be a target is refused', async (t) => {
  const folder = t.testdir({ folder: {}, file: '' })
  await rejection(openTarget(join(folder, 'folder')), 'ERR_TARGET_UNSUPPORTED')
  await rejection(FileTarget.open(join(folder, 'folder')), 'ERR_TARGET_UNSUPPORTED')
  await rejection(openTarget(join(folder, 'missing/image')), 'ERR_TARGET_NOT_FOUND')
  await rejection(openTarget(join(folder, 'file/image')), 'ERR_TARGET_NOT_FOUND')
  symlinkSync('elsewhere/image', join(folder, 'dangling'))
  await rejection(openTarget(join(folder, 'dangling')), 'ERR_TARGET_NOT_FOUND')
  symlinkSync('created', join(folder, 'link'))
  const linked = await openTarget(join(folder, 'link')).catch((error: unknown) => error)
  t.ok(
    linked instanceof Error && !existsSync(join(folder, 'created')),
    'a link to nothing is not written through',
  )
  await t.test('without permission', { skip: isRoot && 'root may write everything' }, async (t) => {
    chmodSync(join(folder, 'file'), 0o400)
    await rejection(openTarget(join(folder, 'file')), 'ERR_TARGET_ACCESS')
    mkdirSync(join(folder, 'closed'), 0o500)
    await rejection(openTarget(join(folder, 'closed/image')), 'ERR_TARGET_ACCESS')
    t.pass()
  })
})

test('an image no file can have is refused, and the old content stays', async (t) => {
  const path = join(t.testdir({ image: 'precious' }), 'image')
  await using target = await openTarget(path, { overwrite: true })
  const outcome = await target.prepare(Number.MAX_SAFE_INTEGER).catch((error: unknown) => error)
  if (outcome instanceof Error) {
    await rejection(Promise.reject(outcome), 'ERR_TARGET_TOO_SMALL')
    t.equal(readFileSync(path, 'utf8'), 'precious')
  } else {
    t.comment('this file system takes any size')
    truncateSync(path, 0)
  }
})

test('MemoryTarget', async (t) => {
  await using target = new MemoryTarget({ content: pattern(1000), capacityBytes: 2000 })
  await rejection(target.prepare(2001), 'ERR_TARGET_TOO_SMALL')
  t.ok(sameBytes(target.bytes, pattern(1000)), 'untouched by a refusal')
  t.same(await target.prepare(2000, { keepContent: true }), { blank: false })
  t.ok(sameBytes(target.bytes.subarray(0, 1000), pattern(1000)))
  t.same(await target.prepare(2000), { blank: true })
  await target.write(0, pattern(2000))
  await target.zero(10, 10)
  t.ok(target.bytes.subarray(10, 20).every((byte) => byte === 0))
  await rejection(target.write(1999, pattern(2)), 'ERR_INVALID_ARGUMENT')
})

test('the extents of a restored file are those it was written with', {
  skip: !linuxCalls && 'without koffi',
}, async (t) => {
  const path = join(t.testdir(), 'image')
  {
    await using target = await openTarget(path)
    await target.prepare(3 * 2 ** 20)
    await target.write(2 ** 20, pattern(2 ** 20))
    await target.flush()
  }
  await using source = await FileSource.open(path)
  const extents = []
  for await (const extent of source.extents()) extents.push(extent)
  t.same(extents, [
    { offset: 0, length: 2 ** 20, kind: 'hole' },
    { offset: 2 ** 20, length: 2 ** 20, kind: 'data' },
    { offset: 2 ** 21, length: 2 ** 20, kind: 'hole' },
  ])
})
