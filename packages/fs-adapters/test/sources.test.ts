import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { BlockSource, Extent } from '@platter/core'
import { FileSource, loadLinuxCalls, MemorySource, openSource, StreamSource } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const isRoot = process.getuid?.() === 0
const linuxCalls = loadLinuxCalls()

async function allExtents(source: BlockSource): Promise<Extent[]> {
  const extents: Extent[] = []
  for await (const extent of source.extents()) extents.push(extent)
  return extents
}

async function readAll(source: BlockSource, step = 1_000_003): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (let at = 0; ; ) {
    const into = new Uint8Array(step)
    const count = await source.read(at, into)
    if (count === 0) return Buffer.concat(pieces)
    pieces.push(into.subarray(0, count))
    at += count
  }
}

/** A file with data at some offsets and holes between. */
function sparseFile(path: string, sizeBytes: number, data: readonly (readonly [number, Uint8Array])[]): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, sizeBytes)
  for (const [offset, bytes] of data) writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

test('files of sizes around a block', async (t) => {
  const path = join(t.testdir(), 'image')
  for (const size of [0, 1, 511, 4095, 4096, 4097, 3_000_000]) {
    writeFileSync(path, pattern(size))
    await using source = await openSource(path)
    t.equal(source.info.kind, 'file')
    t.equal(source.info.label, path)
    t.equal(source.info.sizeBytes, size)
    t.equal(source.sequential, false)
    t.type(source.direct?.fd, 'number')
    t.ok(sameBytes(await readAll(source), pattern(size)), `${size} bytes`)
    t.equal(await source.read(size, new Uint8Array(10)), 0, 'at the end')
    t.equal(await source.read(size + 1000, new Uint8Array(10)), 0, 'behind the end')
    t.same(await allExtents(source), size === 0 ? [] : [{ offset: 0, length: size, kind: 'data' }])
    await source.assertUnchanged()
  }
})

test('the holes of a sparse file of several GiB', { skip: !linuxCalls && 'without koffi' }, async (t) => {
  const path = join(t.testdir(), 'sparse')
  const GiB = 2 ** 30
  sparseFile(path, 5 * GiB + 1, [
    [4096, pattern(8192)],
    [3 * GiB, pattern(4096)],
    [5 * GiB, pattern(1)],
  ])
  await using source = await openSource(path)
  const extents = await allExtents(source)
  t.equal(extents.at(0)?.kind, 'hole')
  let end = 0
  let dataBytes = 0
  for (const extent of extents) {
    t.equal(extent.offset, end, 'no gap')
    end += extent.length
    if (extent.kind === 'data') dataBytes += extent.length
  }
  t.equal(end, 5 * GiB + 1)
  t.ok(dataBytes >= 8192 + 4096 + 1 && dataBytes < 10_000_000, `${dataBytes} bytes of data`)
  const isData = (offset: number): boolean =>
    extents.some((e) => e.kind === 'data' && offset >= e.offset && offset < e.offset + e.length)
  t.same([4096, 12_287, 3 * GiB, 5 * GiB].map(isData), [true, true, true, true])
  t.same([2 * GiB, 4 * GiB].map(isData), [false, false])
  const into = new Uint8Array(4096)
  await source.read(3 * GiB, into)
  t.ok(sameBytes(into, pattern(4096)))

  await using blind = await FileSource.open(path, { linuxCalls: false })
  t.same(await allExtents(blind), [{ offset: 0, length: 5 * GiB + 1, kind: 'data' }])
})

test('extents of any sparse file cover it, and what is no data is zeros', async (t) => {
  const path = join(t.testdir(), 'sparse')
  const writes = fc.array(fc.tuple(fc.nat(400_000), fc.integer({ min: 1, max: 20_000 })), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(fc.nat(420_000), writes, async (size, data) => {
      const fitting = data.filter(([offset, length]) => offset + length <= size)
      sparseFile(
        path,
        size,
        fitting.map(([offset, length]) => [offset, pattern(length, offset)] as const),
      )
      await using source = await FileSource.open(path)
      const image = await readAll(source)
      let end = 0
      for (const { offset, length, kind } of await allExtents(source)) {
        if (offset !== end || length <= 0) throw new Error(`gap at ${end}`)
        end += length
        if (kind === 'hole' && image.subarray(offset, end).some((byte) => byte !== 0))
          throw new Error('data in a hole')
      }
      if (end !== size || image.length !== size) throw new Error(`${end} of ${size}`)
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('koffi that is missing, broken or of another kind does no harm', async (t) => {
  const path = join(t.testdir(), 'image')
  sparseFile(path, 1_000_000, [[500_000, pattern(10)]])
  const loaders = [
    () => {
      throw Object.assign(new Error("Cannot find module 'koffi'"), { code: 'MODULE_NOT_FOUND' })
    },
    () => undefined,
    () => ({}),
    () => ({
      load() {
        throw new Error('no such symbol')
      },
    }),
  ]
  for (const loader of loaders) {
    const calls = loadLinuxCalls(loader)
    t.equal(calls, undefined)
    await using source = await FileSource.open(path, { linuxCalls: calls ?? false })
    t.same(await allExtents(source), [{ offset: 0, length: 1_000_000, kind: 'data' }])
  }
})

test('a file system that knows no holes', async (t) => {
  const path = join(t.testdir({ image: 'x'.repeat(10_000) }), 'image')
  for (const code of ['EINVAL', 'EOPNOTSUPP', 'ENOSYS']) {
    const refuse = (): never => {
      throw Object.assign(new Error(code), { code })
    }
    const calls = { ...(linuxCalls as NonNullable<typeof linuxCalls>), seekData: refuse, seekHole: refuse }
    await using source = await FileSource.open(path, { linuxCalls: calls })
    t.same(await allExtents(source), [{ offset: 0, length: 10_000, kind: 'data' }], code)
  }
  const failing = (): never => {
    throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }
  const calls = { ...(linuxCalls as NonNullable<typeof linuxCalls>), seekData: failing }
  await using source = await FileSource.open(path, { linuxCalls: calls })
  const error = await rejection(allExtents(source), 'ERR_SOURCE_READ')
  t.equal(error.details.systemCode, 'EIO')
})

test('a file that changes while it is read', async (t) => {
  const path = join(t.testdir(), 'image')
  const open = async (): Promise<FileSource> => {
    writeFileSync(path, pattern(10_000))
    return await FileSource.open(path)
  }
  {
    await using source = await open()
    truncateSync(path, 5000)
    t.equal(await source.read(4000, new Uint8Array(5000)), 1000)
    const error = await rejection(source.read(5000, new Uint8Array(10)), 'ERR_SOURCE_CHANGED')
    t.equal(error.details.offset, 5000)
    const changed = await rejection(source.assertUnchanged(), 'ERR_SOURCE_CHANGED')
    t.same([changed.details.expected, changed.details.actual], [10_000, 5000])
  }
  {
    await using source = await open()
    truncateSync(path, 20_000)
    t.equal((await readAll(source)).length, 10_000, 'what was appended is not part of the image')
    await rejection(source.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  }
  {
    await using source = await open()
    const fd = openSync(path, 'r+')
    writeSync(fd, 'changed')
    closeSync(fd)
    utimesSync(path, 1, 1)
    await rejection(source.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  }
})

test('reads: many at once, aborted, after close, failing', async (t) => {
  const path = join(t.testdir(), 'image')
  const image = pattern(1_000_000)
  writeFileSync(path, image)
  const source = await openSource(path)
  const reads = Array.from({ length: 100 }, async (_, i) => {
    const into = new Uint8Array(10_000)
    t.equal(await source.read(i * 9_900, into), 10_000)
    return sameBytes(into, image.subarray(i * 9_900, i * 9_900 + 10_000))
  })
  t.ok((await Promise.all(reads)).every(Boolean))
  await t.rejects(source.read(0, new Uint8Array(1), { signal: AbortSignal.abort() }), { name: 'AbortError' })
  await source.close()
  await source.close()
  await rejection(source.read(0, new Uint8Array(1)), 'ERR_CLOSED')
  await rejection(allExtents(source), 'ERR_CLOSED')
  await rejection(source.assertUnchanged(), 'ERR_CLOSED')

  await using broken = await openSource(path)
  closeSync((broken.direct as { fd: number }).fd) // makes every read EBADF
  const error = await rejection(broken.read(77, new Uint8Array(1)), 'ERR_SOURCE_READ')
  t.same([error.details.offset, error.details.systemCode], [77, 'EBADF'])
  openSync(path, 'r') // takes the number again, so that closing it is fine
})

test('the reason of a signal comes through as it is', async (t) => {
  const path = join(t.testdir(), 'image')
  sparseFile(path, 100_000, [[50_000, pattern(10)]])
  await using source = await openSource(path)
  const reason = new Error('enough')
  const list = async (): Promise<void> => {
    for await (const _ of source.extents({ signal: AbortSignal.abort(reason) }));
  }
  await t.rejects(list(), reason)
  // Not AbortSignal.timeout: neither its timer nor this stream would keep the process alive.
  const later = new AbortController()
  setTimeout(() => later.abort(reason), 1)
  const stream = new StreamSource(new ReadableStream<Uint8Array>())
  await t.rejects(stream.read(0, new Uint8Array(1), { signal: later.signal }), reason)
})

test('what cannot be a source is refused', async (t) => {
  const path = t.testdir({ folder: {}, file: 'x' })
  await rejection(openSource(join(path, 'missing')), 'ERR_SOURCE_NOT_FOUND')
  await rejection(openSource(join(path, 'file/below')), 'ERR_SOURCE_NOT_FOUND')
  await rejection(openSource(join(path, 'folder')), 'ERR_SOURCE_IS_DIRECTORY')
  await rejection(openSource('/dev/zero'), 'ERR_SOURCE_UNSUPPORTED')
  await rejection(openSource('/dev/null'), 'ERR_SOURCE_UNSUPPORTED')
  symlinkSync('loop', join(path, 'loop'))
  await rejection(openSource(join(path, 'loop')), 'ERR_SOURCE_READ')
  const server = createServer()
  const socket = join(path, 's')
  if (socket.length < 100) {
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    await rejection(openSource(socket), 'ERR_SOURCE_UNSUPPORTED')
    server.close()
  }
  execFileSync('mkfifo', [join(path, 'fifo')])
  await rejection(FileSource.open(join(path, 'fifo')), 'ERR_SOURCE_UNSUPPORTED')
  await t.test('without permission', { skip: isRoot && 'root may read everything' }, async (t) => {
    chmodSync(join(path, 'file'), 0)
    await rejection(openSource(join(path, 'file')), 'ERR_SOURCE_ACCESS')
    mkdirSync(join(path, 'closed'), 0)
    await rejection(openSource(join(path, 'closed/file')), 'ERR_SOURCE_ACCESS')
    t.pass()
  })
})

test('MemorySource', async (t) => {
  const image = pattern(10_000)
  await using whole = new MemorySource(image)
  t.same(await allExtents(whole), [{ offset: 0, length: 10_000, kind: 'data' }])
  t.ok(sameBytes(await readAll(whole, 333), image))
  t.same(await allExtents(new MemorySource(new Uint8Array(0))), [])
  const extents = [
    { offset: 0, length: 4000, kind: 'data' },
    { offset: 4000, length: 6000, kind: 'unused' },
  ] as const
  t.same(await allExtents(new MemorySource(image, { extents })), extents)
  for (const bad of [
    [],
    [{ offset: 0, length: 9999, kind: 'data' }],
    [{ offset: 0, length: 10_001, kind: 'data' }],
    [{ offset: 1, length: 9999, kind: 'data' }],
    [
      { offset: 0, length: 6000, kind: 'data' },
      { offset: 5000, length: 5000, kind: 'hole' },
    ],
    [
      { offset: 0, length: 10_000, kind: 'data' },
      { offset: 10_000, length: 0, kind: 'hole' },
    ],
  ] as Extent[][]) {
    t.throws(() => new MemorySource(image, { extents: bad }), { code: 'ERR_INVALID_ARGUMENT' })
  }
})
