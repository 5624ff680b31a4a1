import { closeSync, openSync } from 'node:fs'
import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type BlockSource, type Extent, PlatterError } from '@platter/core'
import { FileSource, MemorySource, MemoryStore, StreamSource } from '@platter/fs-adapters'
import { FaultSource } from '@platter/fs-adapters/testing'
import { type ByteRange, Repository } from '@platter/repo'
import { test } from 'tap'
import {
  assertSound,
  backUp,
  codeOf,
  collected,
  diskImage,
  listed,
  newRepository,
  noise,
  rejection,
  restored,
  SETTINGS,
  sameBytes,
  sourceFrom,
  unhandled,
} from './adversity.ts'

const IMAGE = diskImage('source')

/** The sectors that ranges touch, as ascending merged ranges within the image. */
function lostSectors(ranges: readonly ByteRange[], sectorBytes: number, sizeBytes: number): ByteRange[] {
  const lost: ByteRange[] = []
  for (let at = 0; at < sizeBytes; at += sectorBytes) {
    const length = Math.min(sectorBytes, sizeBytes - at)
    if (!ranges.some((range) => range.offset < at + length && range.offset + range.length > at)) continue
    const last = lost.at(-1)
    if (last !== undefined && last.offset + last.length === at)
      lost[lost.length - 1] = { offset: last.offset, length: last.length + length }
    else lost.push({ offset: at, length })
  }
  return lost
}

/** Ranges that cannot be read, by what is special about them. */
const UNREADABLE: Readonly<Record<string, readonly ByteRange[]>> = {
  'one byte': [{ offset: 10_000, length: 1 }],
  'the first byte': [{ offset: 0, length: 1 }],
  'the last byte, in a partial sector': [{ offset: IMAGE.length - 1, length: 1 }],
  'across a region border': [{ offset: 65_000, length: 1_000 }],
  neighbours: [
    { offset: 20_480, length: 512 },
    { offset: 20_992, length: 512 },
    { offset: 22_016, length: 512 },
  ],
  'within a hole': [{ offset: 100_000, length: 5_000 }],
  'a whole region': [{ offset: 65_536, length: 65_536 }],
  'every other sector of a stretch': Array.from({ length: 60 }, (_, i) => ({
    offset: 180_000 + i * 1024,
    length: 100,
  })),
  everything: [{ offset: 0, length: IMAGE.length }],
}

for (const workers of [0, 2]) {
  test(`a read error in the middle, ${workers} workers`, { timeout: 60_000 }, async (t) => {
    const store = new MemoryStore()
    const repo = await newRepository(store)
    const { id } = await backUp(repo, IMAGE)
    // With threads everything takes longer, and the reading is the same.
    const cases = Object.entries(UNREADABLE).filter((_, i) => workers === 0 || i % 3 === 0)
    for (const [what, unreadable] of cases) {
      const source = new FaultSource(new MemorySource(IMAGE), { unreadable })
      const error = await rejection(repo.backup(source, { name: 'stopped', workers }))
      t.ok(PlatterError.is(error, 'ERR_SOURCE_READ'), `${what}: it stops`)
      const isInside = unreadable.some(
        ({ offset, length }) =>
          (error as PlatterError).details.offset! >= offset &&
          (error as PlatterError).details.offset! < offset + length,
      )
      t.ok(isInside, `${what}: and says where`)

      const again = new FaultSource(new MemorySource(IMAGE), { unreadable })
      const snapshot = await repo.backup(again, { name: what, workers, onReadError: 'record' })
      const lost = lostSectors(unreadable, 512, IMAGE.length)
      t.same(snapshot.volumes[0]!.badRanges, lost, `${what}: the lost sectors are recorded`)
      t.same((await (await Repository.open(store)).snapshot(snapshot.id)).volumes[0]!.badRanges, lost)
      const expected = IMAGE.slice()
      for (const { offset, length } of lost) expected.fill(0, offset, offset + length)
      t.ok(
        sameBytes(await restored(repo, snapshot.id), expected),
        `${what}: all else is there, zeros for the rest`,
      )
    }
    t.equal(await codeOf(repo.snapshot('latest:stopped')), 'ERR_SNAPSHOT_NOT_FOUND')
    t.ok(sameBytes(await restored(repo, id), IMAGE))
  })
}

test('the loss is one logical sector, whatever its size', async (t) => {
  const repo = await newRepository()
  for (const logicalSectorBytes of [1, 16, 512, 520, 4096, 65_536, 1 << 20]) {
    const unreadable = [
      { offset: 12_345, length: 3 },
      { offset: 250_000, length: 9_000 },
    ]
    const faulty = new FaultSource(new MemorySource(IMAGE), { unreadable })
    const source = sourceFrom(
      { read: (...args) => faulty.read(...args), info: { logicalSectorBytes, physicalSectorBytes: 4096 } },
      IMAGE,
    )
    const { volumes, id } = await repo.backup(source, { name: 'disk', workers: 0, onReadError: 'record' })
    // A piece that starts within a sector makes the loss smaller, never larger.
    const most = lostSectors(unreadable, logicalSectorBytes, IMAGE.length)
    const bytes = await restored(repo, id)
    for (const { offset, length } of volumes[0]!.badRanges) {
      t.ok(most.some((range) => range.offset <= offset && offset + length <= range.offset + range.length))
      t.ok(bytes.subarray(offset, offset + length).every((byte) => byte === 0))
      bytes.set(IMAGE.subarray(offset, offset + length), offset)
    }
    t.ok(sameBytes(bytes, IMAGE), `sectors of ${logicalSectorBytes}`)
  }
})

test('an error that is no read error is not read around', async (t) => {
  const repo = await newRepository()
  const error = new PlatterError('ERR_SOURCE_CHANGED', 'injected')
  const source = new FaultSource(new MemorySource(IMAGE), { unreadable: [{ offset: 5, length: 1, error }] })
  t.equal(await rejection(repo.backup(source, { name: 'disk', workers: 0, onReadError: 'record' })), error)
})

test('a disk with too many bad places is refused in words', { timeout: 60_000 }, async (t) => {
  const repo = await newRepository()
  const image = noise('ruin', 65_600 * 32)
  const error = new PlatterError('ERR_SOURCE_READ', 'injected')
  const read: BlockSource['read'] = async (offset, into) => {
    if (offset % 32 === 0) throw error
    const length = Math.min(into.length, 32 - (offset % 32), image.length - offset)
    into.set(image.subarray(offset, offset + length))
    return length
  }
  const source = sourceFrom({ read, info: { logicalSectorBytes: 16 } }, image)
  const backup = repo.backup(source, { name: 'ruin', workers: 0, onReadError: 'record' })
  t.equal(await codeOf(backup), 'ERR_LIMIT_EXCEEDED')
  t.equal(await codeOf(backUp(repo, IMAGE)), 'success')
})

/** The start of a mapping of this process that nothing is mapped in front of, and bytes that stand there. */
async function borderOfMemory(): Promise<{ readonly at: number; readonly bytes: Uint8Array } | undefined> {
  const maps = await readFile('/proc/self/maps', 'latin1').catch(() => '')
  let end = 0
  for (const line of maps.split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-.p ([0-9a-f]+) \S+ \d+ +(\/.+)$/.exec(line)
    const [from, to] = (/^([0-9a-f]+)-([0-9a-f]+)/.exec(line) ?? [])
      .slice(1)
      .map((hex) => Number.parseInt(hex, 16))
    if (match !== null && from! - end >= 1 << 20 && to! - from! >= 262_144 && Number.isSafeInteger(to!)) {
      const file = await readFile(match[4]!).catch(() => undefined)
      const offset = Number.parseInt(match[3]!, 16)
      if (file !== undefined)
        return { at: from!, bytes: new Uint8Array(file.subarray(offset, offset + 262_144)) }
    }
    end = to ?? end
  }
  return undefined
}

const border = await borderOfMemory()
const skip = border === undefined ? 'needs /proc/self/mem' : false

test('read errors of the system, in workers that read by themselves', {
  timeout: 60_000,
  skip,
}, async (t) => {
  // Memory of this process, read as a file: where nothing is mapped the system answers EIO, as a broken disk does.
  const { at, bytes } = border!
  const half = 131_072
  const sizeBytes = at + half
  const extents: Extent[] = [
    { offset: 0, length: at - half, kind: 'hole' },
    { offset: at - half, length: 2 * half, kind: 'data' },
  ]
  const fd = openSync('/proc/self/mem', 'r')
  t.teardown(() => closeSync(fd))
  const source = (): BlockSource =>
    sourceFrom({
      direct: { fd },
      extents: () => listed(extents),
      read: async () => {
        throw new Error('A source with a descriptor is not read otherwise.')
      },
      info: { sizeBytes },
    })
  const repo = await newRepository()
  for (const workers of [0, 2]) {
    const error = await rejection(repo.backup(source(), { name: 'memory', workers }))
    t.ok(PlatterError.is(error, 'ERR_SOURCE_READ'), 'it stops')
    t.equal((error as PlatterError).details.systemCode, 'EIO')
    t.ok((error as PlatterError).details.offset! >= at - half && (error as PlatterError).details.offset! < at)
    const snapshot = await repo.backup(source(), { name: 'memory', workers, onReadError: 'record' })
    t.same(snapshot.volumes[0]!.badRanges, [{ offset: at - half, length: half }], 'one merged range')
    const image = await repo.openImage(snapshot.id)
    t.ok(sameBytes(await image.read(at, half), bytes.subarray(0, half)), 'all that can be read is there')
    t.ok((await image.read(at - half, half)).every((byte) => byte === 0))
    t.equal(image.sizeBytes, sizeBytes)
  }
})

test('a source that shrinks or grows while it is read', { timeout: 60_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, IMAGE)
  for (const sizeBytes of [0, 1, 65_536, IMAGE.length - 1, IMAGE.length + 1]) {
    for (const onReadError of ['stop', 'record'] as const) {
      for (const afterReads of [0, 2]) {
        const source = new FaultSource(new MemorySource(IMAGE), { resize: { afterReads, sizeBytes } })
        const code = await codeOf(repo.backup(source, { name: 'resized', workers: 0, onReadError }))
        t.equal(code, 'ERR_SOURCE_CHANGED', `${sizeBytes} bytes after ${afterReads} reads`)
      }
      // Most sources do not notice: they read nothing more.
      const shorter = sourceFrom(
        {
          read: async (offset, into) =>
            offset >= sizeBytes ? 0 : new MemorySource(IMAGE.subarray(0, sizeBytes)).read(offset, into),
        },
        IMAGE,
      )
      const code = await codeOf(repo.backup(shorter, { name: 'short', workers: 0, onReadError }))
      t.equal(code, sizeBytes < IMAGE.length ? 'ERR_SOURCE_CHANGED' : 'success')
    }
  }
  const folder = t.testdir()
  for (const workers of [0, 2]) {
    for (const bytes of [0, 100_000, IMAGE.length - 1, IMAGE.length + 4096]) {
      const path = join(folder, `disk-${workers}-${bytes}`)
      await writeFile(path, IMAGE)
      await using source = await FileSource.open(path)
      await truncate(path, bytes)
      const error = await rejection(repo.backup(source, { name: 'file', workers }))
      t.ok(PlatterError.is(error, 'ERR_SOURCE_CHANGED'), `a file cut to ${bytes}, ${workers} workers`)
      if (bytes < IMAGE.length && (error as PlatterError).details.offset !== undefined)
        t.ok((error as PlatterError).details.offset! >= bytes, 'the offset is behind what is there')
    }
  }
  // A source that does not look whether it changed: the reads tell.
  const path = join(folder, 'short')
  await writeFile(path, IMAGE.subarray(0, 200_000))
  const fd = openSync(path, 'r')
  t.teardown(() => closeSync(fd))
  for (const workers of [0, 2]) {
    for (const onReadError of ['stop', 'record'] as const) {
      const source = sourceFrom({ direct: { fd } }, IMAGE)
      const error = await rejection(repo.backup(source, { name: 'file', workers, onReadError }))
      t.ok(PlatterError.is(error, 'ERR_SOURCE_CHANGED'), `a short descriptor, ${workers} workers`)
      t.ok((error as PlatterError).details.offset! >= 200_000)
    }
  }
  for (const name of ['resized', 'file'])
    t.equal(await codeOf(repo.snapshot(`latest:${name}`)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.ok(sameBytes(await restored(repo, id), IMAGE))
})

test('streams that fail, end early or go on', { timeout: 60_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, IMAGE)
  const pieces = (lengths: readonly number[], error?: Error): Readable =>
    Readable.from(
      (function* () {
        let at = 0
        for (const length of lengths) yield IMAGE.subarray(at, (at += length))
        if (error !== undefined) throw error
      })(),
      { objectMode: false } as object,
    )
  for (const workers of [0, 2]) {
    for (const lengths of [[], [1], [65_536], [65_536, 1], [100_000, 30_000], [4096, 4096, 300]]) {
      const failing = new StreamSource(pieces(lengths, new Error('cut off')))
      const error = await rejection(repo.backup(failing, { name: 'failing', workers }))
      t.ok(
        PlatterError.is(error, 'ERR_SOURCE_READ'),
        `fails after ${lengths.join('+')} bytes, ${workers} workers`,
      )
      const total = lengths.reduce((sum, length) => sum + length, 0)
      const short = new StreamSource(pieces(lengths), { sizeBytes: total + 1 })
      t.equal(await codeOf(repo.backup(short, { name: 'short', workers })), 'ERR_SOURCE_CHANGED')
      const long = new StreamSource(pieces([...lengths, 7]), { sizeBytes: total + 6 })
      t.equal(await codeOf(repo.backup(long, { name: 'long', workers })), 'ERR_SOURCE_CHANGED')
      const whole = new StreamSource(pieces(lengths), { sizeBytes: total })
      const snapshot = await repo.backup(whole, { name: 'whole', workers })
      t.ok(sameBytes(await restored(repo, snapshot.id), IMAGE.subarray(0, total)), `${total} bytes whole`)
    }
  }
  for (const name of ['failing', 'short', 'long'])
    t.equal(await codeOf(repo.snapshot(`latest:${name}`)), 'ERR_SNAPSHOT_NOT_FOUND')
  t.ok(sameBytes(await restored(repo, id), IMAGE))
})

test('short reads', { timeout: 60_000 }, async (t) => {
  const repo = await newRepository()
  const small = IMAGE.subarray(0, 70_001)
  for (const workers of [0, 2]) {
    for (const [image, maxReadBytes] of [
      [small, 1],
      [IMAGE, 4095],
      [IMAGE, 65_537],
    ] as const) {
      const source = new FaultSource(new MemorySource(image), { maxReadBytes })
      const { id } = await repo.backup(source, { name: 'disk', workers })
      t.ok(sameBytes(await restored(repo, id), image), `reads of ${maxReadBytes}, ${workers} workers`)
    }
  }
})

test('reads that miscount', { timeout: 30_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, IMAGE)
  const counts = [undefined, null, -1, Number.NaN, 1.5, 1e9, Number.POSITIVE_INFINITY, '7']
  for (const sequential of [false, true]) {
    for (const count of counts) {
      const read = (async (offset: number) =>
        offset > 66_000 ? count : 1000) as unknown as BlockSource['read']
      const source = sourceFrom({ read, sequential }, IMAGE)
      for (const onReadError of ['stop', 'record'] as const) {
        const code = await codeOf(repo.backup(source, { name: 'wrong', workers: 0, onReadError }))
        t.equal(code, 'ERR_INVALID_ARGUMENT', `${String(count)}, ${sequential ? 'a stream' : 'a disk'}`)
      }
    }
  }
  await assertSound(t, store, new Map([[id, IMAGE]]), 'after wrong sources')
})

test('extents that lie', { timeout: 30_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await backUp(repo, IMAGE)
  const size = IMAGE.length
  const data = (offset: number, length: number): Extent => ({ offset, length, kind: 'data' })
  const hole = (offset: number, length: number): Extent => ({ offset, length, kind: 'hole' })
  const lies: Record<string, Extent[]> = {
    none: [],
    'a gap': [data(0, 4096), data(8192, size - 8192)],
    'a gap in front': [data(4096, size - 4096)],
    'an overlap': [data(0, 8192), data(4096, size - 4096)],
    'the same twice': [data(0, size), data(0, size)],
    'beyond the end': [data(0, size + 1)],
    'a hole beyond the end': [data(0, size - 1), hole(size - 1, 1e15)],
    'too early an end': [data(0, size - 1)],
    'an empty one': [data(0, 4096), data(4096, 0), data(4096, size - 4096)],
    'only an empty one': [data(0, 0)],
    'a negative length': [data(0, 4096), data(4096, -4096), data(0, size)],
    'a negative offset': [data(-4096, size + 4096)],
    backwards: [data(4096, size - 4096), data(0, 4096)],
    'no number': [data(0, Number.NaN)],
    'no number for an offset': [data(Number.NaN, size)],
    infinity: [data(0, Number.POSITIVE_INFINITY)],
    'an unknown kind': [{ offset: 0, length: size, kind: 'secret' as Extent['kind'] }],
    'a kind of an object': [{ offset: 0, length: size, kind: 'toString' as Extent['kind'] }],
  }
  for (const [what, extents] of Object.entries(lies)) {
    for (const workers of what === 'a gap' ? [0, 2] : [0]) {
      const source = sourceFrom({ extents: () => listed(extents) }, IMAGE)
      t.equal(await codeOf(repo.backup(source, { name: 'lies', workers })), 'ERR_INVALID_ARGUMENT', what)
    }
  }
  const failing = sourceFrom(
    {
      async *extents() {
        yield data(0, 200_000)
        throw new PlatterError('ERR_SOURCE_READ', 'injected', { offset: 200_000 })
      },
    },
    IMAGE,
  )
  for (const workers of [0, 2])
    t.equal(await codeOf(repo.backup(failing, { name: 'lies', workers })), 'ERR_SOURCE_READ')
  await assertSound(t, store, new Map([[id, IMAGE]]), 'after lies')
})

test('extents off every border lose no byte', { timeout: 30_000 }, async (t) => {
  const repo = await newRepository()
  for (let seed = 0; seed < 30; seed++) {
    const draws = noise(`extents ${seed}`, 64)
    const image = diskImage(`extents ${seed}`, 400_000 + seed)
    const extents: Extent[] = []
    let at = 0
    for (let i = 0; at < image.length; i++) {
      const wanted = 1 + ((draws[(i * 2) % 64]! << 8) | draws[(i * 2 + 1) % 64]!) * (1 + (i % 3))
      const length = Math.min(wanted, image.length - at)
      const kind = (['data', 'hole', 'data', 'unused'] as const)[i % 4]!
      extents.push({ offset: at, length, kind })
      if (kind !== 'data') image.fill(0, at, at + length)
      at += length
    }
    const source = sourceFrom({ extents: () => listed(extents) }, image)
    const { id } = await repo.backup(source, { name: 'disk', workers: 0 })
    t.ok(sameBytes(await restored(repo, id), image), `extents ${seed}`)
  }
})

test('a source that says impossible things of itself', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const infos: Record<string, unknown>[] = [
    { sizeBytes: -1 },
    { sizeBytes: 1.5 },
    { sizeBytes: Number.NaN },
    { sizeBytes: 2 ** 60 },
    { sizeBytes: undefined },
    { logicalSectorBytes: 0 },
    { logicalSectorBytes: Number.NaN },
    { physicalSectorBytes: -512 },
    { label: 'x'.repeat(5000) },
    { kind: 'x'.repeat(5000) },
    { label: undefined },
  ]
  for (const info of infos) {
    const code = await codeOf(repo.backup(sourceFrom({ info }, IMAGE), { name: 'disk', workers: 0 }))
    t.equal(code, 'ERR_INVALID_ARGUMENT', JSON.stringify(info).slice(0, 50))
  }
  // Without a name the label is the name, and may be too long for that.
  t.equal(
    await codeOf(repo.backup(sourceFrom({ info: { label: '' } }, IMAGE), { workers: 0 })),
    'ERR_INVALID_ARGUMENT',
  )
  const long = sourceFrom({ info: { label: `/${'x'.repeat(4000)}` } }, IMAGE)
  t.equal(await codeOf(repo.backup(long, { workers: 0 })), 'ERR_INVALID_ARGUMENT')
  const { id } = await repo.backup(long, { name: 'disk', workers: 0 })
  t.equal((await (await Repository.open(store)).snapshot(id)).volumes[0]!.source.label.length, 4001)
  t.equal((await collected(repo.snapshots())).length, 1)
})

test('changes are noticed after the last read, before the commit', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const changed = new PlatterError('ERR_SOURCE_CHANGED', 'injected')
  const source = sourceFrom(
    {
      assertUnchanged: async () => {
        throw changed
      },
    },
    IMAGE,
  )
  t.equal(await rejection(repo.backup(source, { name: 'disk', workers: 0 })), changed)
  t.equal(await codeOf(repo.snapshot('latest')), 'ERR_SNAPSHOT_NOT_FOUND')
})

test('images as large as they may be', { timeout: 30_000 }, async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store, { ...SETTINGS, regionBytes: 1 << 20 })
  for (const sizeBytes of [Number.MAX_SAFE_INTEGER, 2 ** 52 + 4096, 2 ** 40]) {
    const at = Math.floor(sizeBytes / 2 / 4096) * 4096
    const source = sourceFrom({
      extents: () =>
        listed([
          { offset: 0, length: at, kind: 'hole' },
          { offset: at, length: 8192, kind: 'data' },
          { offset: at + 8192, length: sizeBytes - at - 8192, kind: 'unused' },
        ]),
      read: async (offset, into) => {
        into.fill(offset === at ? 5 : 6)
        return into.length
      },
      info: { sizeBytes },
    })
    const { id } = await repo.backup(source, { name: 'huge', workers: 0 })
    const image = await repo.openImage(id)
    t.equal(image.sizeBytes, sizeBytes)
    t.same([...(await image.read(at - 1, 3))], [0, 5, 5])
    t.same([...(await image.read(sizeBytes - 2, 100))], [0, 0])
    t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  }
})

test('no rejection was left unhandled', async (t) => {
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.same(unhandled, [])
})
