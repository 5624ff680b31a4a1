import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probeFilesystem } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { EXFAT_CASES, EXFAT_TOOLS, ExfatBytes, formatExfat, whileExfat } from './filesystems/exfat-images.ts'
import { cannotFuse, fillFolder, MemoryVolume, MiB, missing } from './filesystems/images.ts'
import { assertMapHolds, assertSuperset, mapOf } from './filesystems/used-map-conformance.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
const skip = missing('mkfs.exfat', 'fsck.exfat')
const cannotFill = skip || cannotFuse('mount.exfat-fuse')

const problemOf = async ({ bytes }: ExfatBytes) => (await probeFilesystem(new MemoryVolume(bytes))).problem

test('exFAT: what is used is all that is needed', { skip: cannotFill }, async (t) => {
  for (const one of EXFAT_CASES) {
    const image = formatExfat(join(t.testdir(), 'image'), one)
    whileExfat(image, 'rw', (folder) => fillFolder(folder, { count: one.files ?? 60 }))
    try {
      const map = await assertMapHolds(image, EXFAT_TOOLS)
      t.match(map.filesystem, { type: 'exfat', label: 'some label', uuid: /^[0-9A-F]{4}-[0-9A-F]{4}$/ })
      t.ok(map.bytes.free > MiB && map.bytes.used > MiB, `${one.options}: ${JSON.stringify(map.bytes)}`)
    } catch (error) {
      t.fail(`${one.options}: ${error}`)
    }
  }
})

test('exFAT of any size and options', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  const options = fc.record({
    clusterShift: fc.integer({ min: 9, max: 22 }),
    size: fc.integer({ min: 4 * MiB, max: 60 * MiB }),
    packed: fc.constantFrom('', ' --pack-bitmap'),
  })
  await fc.assert(
    fc.asyncProperty(options, async ({ clusterShift, size, packed }) => {
      const clusterBytes = 2 ** clusterShift
      const sizeBytes = Math.max(size, clusterBytes * 40)
      formatExfat(image, { sizeBytes, options: `-c ${clusterBytes}${packed}` })
      const map = await mapOf(image)
      if (map.state !== 'used-map') throw new Error(map.problem?.message)
      const data = new DataView(new Uint8Array(readFileSync(image).subarray(0, 512)).buffer)
      const clusters = data.getUint32(92, true)
      // One bitmap, one table of letters of 5836 bytes, and the root directory.
      const used = Math.ceil(clusters / 8 / clusterBytes) + Math.ceil(5836 / clusterBytes) + 1
      const free = map.bytes.free / clusterBytes
      if (free !== clusters - used) throw new Error(`${free} free of ${clusters}, ${used} in use`)
    }),
    { numRuns: LONG ? 300 : 10 },
  )
  t.pass()
})

test('exFAT: whatever is not in order is read whole', { skip: cannotFill }, async (t) => {
  const image = formatExfat(join(t.testdir(), 'image'), { sizeBytes: 8 * MiB, options: '-c 4K' })
  whileExfat(image, 'rw', (folder) => {
    writeFileSync(join(folder, 'one.dat'), Buffer.alloc(50_000, 'one'))
    mkdirSync(join(folder, 'folder'))
  })
  const original = new ExfatBytes(new Uint8Array(readFileSync(image)))
  const expect = async (code: string | undefined, name: string, change: (exfat: ExfatBytes) => void) => {
    const changed = original.copy()
    change(changed)
    t.equal((await problemOf(changed))?.code, code, name)
  }
  const boot = (change: (sector: DataView) => void) => (exfat: ExfatBytes) => exfat.changeBoot(change)
  await expect(undefined, 'as it was', () => {})
  await expect(
    undefined,
    'sealed again',
    boot(() => {}),
  )
  await expect('not-clean', 'mounted', (e) => e.data.setUint16(106, 2, true))
  await expect('has-errors', 'places that cannot be read', (e) => e.data.setUint16(106, 4, true))
  await expect(undefined, 'a flag that says nothing', (e) => e.data.setUint16(106, 8, true))
  await expect('unknown-feature', 'an unknown flag', (e) => e.data.setUint16(106, 16, true))
  await expect('unknown-feature', 'the second table', (e) => e.data.setUint16(106, 1, true))
  await expect(
    'unknown-feature',
    'two tables',
    boot((s) => s.setUint8(110, 2)),
  )
  await expect(
    'unknown-feature',
    'another revision',
    boot((s) => s.setUint16(104, 0x200, true)),
  )
  await expect(undefined, 'a share in use that is not known', (e) => e.data.setUint8(112, 0xff))
  await expect('inconsistent', 'a share in use that is none', (e) => e.data.setUint8(112, 101))
  await expect('bad-checksum', 'code that differs', (e) => e.data.setUint8(200, 0xaa))
  await expect('bad-checksum', 'a damaged copy', (e) => e.data.setUint8(12 * 512 + 200, 0xaa))
  await expect('inconsistent', 'a copy of something else', (e) => {
    e.bytes.copyWithin(12 * 512, 0, 12 * 512)
    const first = e.bytes.slice(0, 12 * 512)
    e.changeBoot((s) => s.setUint32(100, 1, true))
    e.bytes.set(first, 0)
  })
  await expect('inconsistent', 'sectors of 2^13 bytes', (e) => e.data.setUint8(108, 13))
  await expect(
    'inconsistent',
    'clusters of 64 MiB',
    boot((s) => s.setUint8(109, 17)),
  )
  await expect(
    'inconsistent',
    'no clusters',
    boot((s) => s.setUint32(92, 0, true)),
  )
  await expect(
    'inconsistent',
    'a table that is too small',
    boot((s) => s.setUint32(84, 1, true)),
  )
  await expect(
    'inconsistent',
    'a table on the boot region',
    boot((s) => s.setUint32(80, 12, true)),
  )
  await expect(
    'inconsistent',
    'clusters on the table',
    boot((s) => s.setUint32(88, 30, true)),
  )
  await expect(
    'out-of-range',
    'more clusters than fit',
    boot((s) => s.setUint32(92, s.getUint32(92, true) + 2, true)),
  )
  await expect(
    'out-of-range',
    'larger than its volume',
    boot((s) => s.setUint32(76, 1, true)),
  )
  await expect(
    'out-of-range',
    'larger than anything',
    boot((s) => s.setUint32(76, 0xffffffff, true)),
  )
  await expect(
    'out-of-range',
    'no root directory',
    boot((s) => s.setUint32(96, 0, true)),
  )
  await expect(
    'out-of-range',
    'a root directory out of range',
    boot((s) => s.setUint32(96, 99_999, true)),
  )
  t.equal((await problemOf(new ExfatBytes(original.bytes.slice(0, -4096))))?.code, 'out-of-range', 'cut')

  const root = original.data.getUint32(96, true)
  const bitmap = original.entryAt(0x81)
  const bitmapCluster = original.data.getUint32(bitmap + 20, true)
  const upcase = original.entryAt(0x82)
  await expect('inconsistent', 'a table that begins otherwise', (e) => e.setTable(0, 5))
  await expect('inconsistent', 'a root directory in a circle', (e) => e.setTable(root, root))
  await expect('inconsistent', 'a chain into something else', (e) => e.setTable(root, bitmapCluster))
  await expect('out-of-range', 'a chain that is cut', (e) => e.setTable(root, 0))
  await expect('out-of-range', 'a bad cluster in a chain', (e) => e.setTable(root, 0xfffffff7))
  await expect('inconsistent', 'a bitmap longer than told', (e) => {
    e.setTable(bitmapCluster, 1500)
    e.setTable(1500, 0xffffffff)
  })
  await expect('inconsistent', 'no bitmap', (e) => e.data.setUint8(bitmap, 0x01))
  await expect('inconsistent', 'no letters', (e) => e.data.setUint8(upcase, 0x02))
  await expect('bad-checksum', 'other letters', (e) => e.data.setUint32(upcase + 4, 1, true))
  await expect('inconsistent', 'an enormous table of letters', (e) =>
    e.data.setUint32(upcase + 24, 999_999, true),
  )
  await expect('unknown-feature', 'the bitmap of the second table', (e) => e.data.setUint8(bitmap + 1, 1))
  await expect('inconsistent', 'a bitmap of another size', (e) => e.data.setUint32(bitmap + 24, 9, true))
  await expect('inconsistent', 'a bitmap without a place', (e) => e.data.setUint32(bitmap + 20, 0, true))
  await expect('unknown-feature', 'an entry of an unknown kind', (e) => e.data.setUint8(bitmap, 0x86))

  const file = original.entryAt(0x85)
  const folder = original.entryAt(0x85, file + 32)
  const isFolder = (at: number) => (original.data.getUint16(at + 4, true) & 0x10) !== 0
  const [one, dir] = isFolder(file) ? [folder, file] : [file, folder]
  const set = (at: number, change: (entries: DataView) => void) => (e: ExfatBytes) => e.changeSet(at, change)
  await expect(
    undefined,
    'a set sealed again',
    set(one, () => {}),
  )
  await expect('bad-checksum', 'a set that is damaged', (e) => e.data.setUint8(one + 5, 9))
  await expect(
    'out-of-range',
    'a file out of range',
    set(one, (s) => s.setUint32(32 + 20, 0x7fffffff, true)),
  )
  await expect(
    'out-of-range',
    'an enormous file',
    set(one, (s) => {
      s.setUint8(33, 3)
      s.setUint32(32 + 28, 0x1fffff, true)
    }),
  )
  const place = original.data.getUint32(one + 32 + 20, true)
  await expect('inconsistent', 'a file that is longer than its chain', (e) => {
    e.setTable(place, 0xffffffff)
    e.changeSet(one, (s) => s.setUint8(33, 1))
  })
  await expect(
    'inconsistent',
    'a file on the bitmap',
    set(one, (s) => s.setUint32(32 + 20, bitmapCluster, true)),
  )
  await expect(
    'inconsistent',
    'a file with clusters and no size',
    set(one, (s) => s.setUint32(32 + 24, 0, true)),
  )
  await expect(
    'inconsistent',
    'a file that cannot have clusters',
    set(one, (s) => s.setUint8(33, 0)),
  )
  await expect(
    'inconsistent',
    'a folder that leads nowhere',
    set(dir, (s) => {
      s.setUint32(32 + 20, 0, true)
      s.setUint32(32 + 24, 0, true)
    }),
  )
  await expect(
    'inconsistent',
    'a folder of half a cluster',
    set(dir, (s) => s.setUint32(32 + 24, 2048, true)),
  )
  await expect(
    'inconsistent',
    'a folder that is the root',
    set(dir, (s) => s.setUint32(32 + 20, root, true)),
  )
  await expect(
    'inconsistent',
    'a file without a place',
    set(one, (s) => s.setUint8(32, 0xc1)),
  )
  await expect(
    'inconsistent',
    'a name that is cut',
    set(one, (s) => s.setUint8(35, 200)),
  )
  await expect('inconsistent', 'a part of a set without its head', (e) => e.data.setUint8(one, 0x05))
  await expect('inconsistent', 'a set that is cut', (e) => e.data.setUint8(one + 64, 0x41))
  await expect('inconsistent', 'a free cluster of a file', (e) => {
    e.bytes[e.clusterAt(bitmapCluster) + ((place - 2) >> 3)]! &= ~(1 << ((place - 2) & 7))
  })
  await expect('inconsistent', 'a free bitmap', (e) => {
    e.bytes[e.clusterAt(bitmapCluster)]! &= 0xfe
  })
})

test('exFAT: no bit that flips loses a used cluster', { skip: cannotFill }, async (t) => {
  const image = formatExfat(join(t.testdir(), 'image'), { sizeBytes: 4 * MiB, options: '-c 1K -b 1K' })
  whileExfat(image, 'rw', (folder) => fillFolder(folder, { totalBytes: 300_000, count: 20 }))
  const exfat = new ExfatBytes(new Uint8Array(readFileSync(image)))
  const { bytes } = exfat
  const before = await probeFilesystem(new MemoryVolume(bytes))
  t.equal(before.state, 'used-map')
  const used = [...before.extents()]
  const bitmapCluster = exfat.data.getUint32(exfat.entryAt(0x81) + 20, true)
  const ranges: [name: string, from: number, length: number, step: number][] = [
    ['boot sector', 0, 512, LONG ? 1 : 17],
    ['its copy', 12 * 512, 512, LONG ? 1 : 31],
    ['table', exfat.tableAt, 2000, LONG ? 1 : 31],
    ['root directory', exfat.rootAt, 512, LONG ? 1 : 17],
    ['bitmap', exfat.clusterAt(bitmapCluster), 500, LONG ? 1 : 7],
  ]
  for (const [name, from, length, step] of ranges) {
    for (let bit = 0; bit < length * 8; bit += step) {
      const at = from + (bit >> 3)
      bytes[at]! ^= 1 << (bit & 7)
      const map = await probeFilesystem(new MemoryVolume(bytes))
      try {
        assertSuperset(map.extents(), used)
      } catch (error) {
        t.fail(`${name}: bit ${bit & 7} of byte ${at - from}: ${error}`)
      }
      bytes[at]! ^= 1 << (bit & 7)
    }
  }
  for (let at = 0; at < 512; at++) {
    bytes[at]! ^= 0xff
    assertSuperset((await probeFilesystem(new MemoryVolume(bytes))).extents(), used)
    bytes[at]! ^= 0xff
  }
})
