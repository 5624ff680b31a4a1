import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MemorySource, probeFilesystem, usedExtents } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { cannotFuse, fillFolder, hashesOf, MemoryVolume, MiB, missing, run } from './filesystems/images.ts'
import { formatNtfs, NTFS_CASES, NTFS_TOOLS, NtfsBytes, whileNtfs } from './filesystems/ntfs-images.ts'
import { assertMapHolds, assertSuperset, mapOf } from './filesystems/used-map-conformance.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
const skip = missing('mkntfs', 'ntfsinfo', 'ntfsresize')
const cannotFill = skip || cannotFuse('ntfs-3g')

const STANDARD_INFORMATION = 0x10
const VOLUME_INFORMATION = 0x70
const DATA = 0x80
/** Where no structure is. */
const CATALOG_AT = 5 * MiB

const problemOf = async ({ bytes }: NtfsBytes) => (await probeFilesystem(new MemoryVolume(bytes))).problem

function readNtfs(image: string): NtfsBytes {
  return new NtfsBytes(new Uint8Array(readFileSync(image)))
}

test('NTFS: what is used is all that is needed', { skip: cannotFill }, async (t) => {
  for (const one of NTFS_CASES) {
    const image = formatNtfs(join(t.testdir(), 'image'), one)
    const compression = one.options.includes('-C') ? 'compression' : 'nocompression'
    whileNtfs(image, compression, (folder) => fillFolder(folder, { count: one.files ?? 60 }))
    try {
      const map = await assertMapHolds(image, NTFS_TOOLS)
      t.match(map.filesystem, { type: 'ntfs', label: 'some label', uuid: /^[0-9A-F]{16}$/ }, one.options)
      t.ok(map.bytes.free > MiB && map.bytes.used > MiB, `${one.options}: ${JSON.stringify(map.bytes)}`)
      t.equal(map.bytes.swap, 0)
    } catch (error) {
      t.fail(`${one.options}: ${error}`)
    }
  }
})

test('NTFS with its file table in many pieces', { skip: cannotFill }, async (t) => {
  const image = formatNtfs(join(t.testdir(), 'image'), { sizeBytes: 16 * MiB, options: '-c 512' })
  whileNtfs(image, 'rw', (folder) => {
    // Until it is full, then with gaps that only the file table can fill.
    const name = (letter: string, i: number) => join(folder, `${letter}${i}`)
    const large = writeUntilFull((i) => writeFileSync(name('a', i), Buffer.alloc(6000, i)))
    for (let i = 0; i < large; i += 2) rmSync(name('a', i))
    const small = writeUntilFull((i) => writeFileSync(name('b', i), 'x'.repeat(100)))
    for (let i = 0; i < small; i += 9) rmSync(name('b', i))
    for (let i = 1; i < large; i += 8) rmSync(name('a', i))
  })
  t.match(run('ntfsinfo', '-i', '0', image), 'ATTRIBUTE_LIST', 'the table has a list of attributes')
  const map = await assertMapHolds(image, NTFS_TOOLS)
  t.ok(map.bytes.free > MiB)
})

/** Returns how many could be written. */
function writeUntilFull(write: (i: number) => void): number {
  for (let i = 0; ; i++) {
    try {
      write(i)
    } catch {
      return i
    }
  }
}

test('NTFS of any size and options', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  const options = fc.record({
    sectorBytes: fc.constantFrom(512, 512, 1024, 2048, 4096),
    clusterShift: fc.integer({ min: 0, max: 9 }),
    size: fc.integer({ min: 3 * MiB, max: 40 * MiB }),
  })
  await fc.assert(
    fc.asyncProperty(options, async ({ sectorBytes, clusterShift, size }) => {
      const clusterBytes = sectorBytes * 2 ** clusterShift
      const sizeBytes = Math.max(size, clusterBytes * 40)
      formatNtfs(image, { sizeBytes, options: `-s ${sectorBytes} -c ${clusterBytes}` })
      const map = await mapOf(image)
      if (map.state !== 'used-map') throw new Error(map.problem?.message)
      const free = Number(/Free Clusters: (\d+)/.exec(run('ntfsinfo', '-m', image))![1])
      if (map.bytes.free !== free * clusterBytes) throw new Error(`${free} clusters, ${map.bytes.free} bytes`)
    }),
    { numRuns: LONG ? 300 : 10 },
  )
  t.pass()
})

test('NTFS: whatever is not in order is read whole', { skip: cannotFill }, async (t) => {
  const image = formatNtfs(join(t.testdir(), 'image'), { sizeBytes: 8 * MiB, options: '-c 4096' })
  whileNtfs(image, 'rw', (folder) => {
    for (const name of ['one.dat', 'two.dat']) writeFileSync(join(folder, name), Buffer.alloc(50_000, name))
    for (let i = 0; i < 20; i++) writeFileSync(join(folder, `small-${i}`), 'small')
  })
  const original = readNtfs(image)
  const expect = async (code: string | undefined, name: string, change: (ntfs: NtfsBytes) => void) => {
    const changed = original.copy()
    change(changed)
    t.equal((await problemOf(changed))?.code, code, name)
  }
  const flags = (value: number) => (ntfs: NtfsBytes) =>
    ntfs.changeAttribute(3, VOLUME_INFORMATION, (a) => a.setUint16(a.getUint16(20, true) + 10, value, true))
  const version = (major: number, minor: number) => (ntfs: NtfsBytes) =>
    ntfs.changeAttribute(3, VOLUME_INFORMATION, (a) => {
      a.setUint8(a.getUint16(20, true) + 8, major)
      a.setUint8(a.getUint16(20, true) + 9, minor)
    })
  await expect(undefined, 'as it was', () => {})
  await expect(undefined, 'version 1.2', version(1, 2))
  await expect(undefined, 'version 3.0', version(3, 0))
  await expect('unknown-feature', 'version 3.2', version(3, 2))
  await expect('not-clean', 'dirty', flags(1))
  for (const flag of [2, 4, 0x10, 0x20, 0x4000, 0x8000])
    await expect('not-clean', `flag ${flag}`, flags(flag))
  await expect(undefined, 'mounted by Windows NT 4', flags(8))
  await expect('unknown-feature', 'an unknown flag', flags(0x80))

  const boot = (change: (sector: DataView) => void) => (ntfs: NtfsBytes) => ntfs.changeBoot(change)
  await expect(
    'inconsistent',
    'no signature',
    boot((s) => s.setUint16(510, 0)),
  )
  await expect(
    'inconsistent',
    'sectors of 300 bytes',
    boot((s) => s.setUint16(11, 300, true)),
  )
  await expect(
    'inconsistent',
    'clusters of 3 sectors',
    boot((s) => s.setUint8(13, 3)),
  )
  await expect(
    'inconsistent',
    'clusters of 4 MiB',
    boot((s) => s.setUint8(13, 0xf3)),
  )
  await expect(
    'inconsistent',
    'no clusters',
    boot((s) => s.setUint8(13, 0)),
  )
  await expect(
    'unknown-feature',
    'records of 512 bytes',
    boot((s) => s.setInt8(64, -9)),
  )
  await expect(
    'unknown-feature',
    'records of 2^128 bytes',
    boot((s) => s.setInt8(64, -128)),
  )
  await expect(
    'inconsistent',
    'fields of FAT',
    boot((s) => s.setUint8(16, 2)),
  )
  await expect('inconsistent', 'another boot sector at the end', (n) => n.data.setUint8(n.backupAt + 48, 9))
  await expect(
    'out-of-range',
    'a table out of range',
    boot((s) => s.setUint32(48, 0xffffff, true)),
  )
  await expect(
    'inconsistent',
    'another mirror',
    boot((s) => s.setUint32(56, 100, true)),
  )
  await expect('out-of-range', 'larger than its volume', (n) => n.data.setUint32(40, 0xfffff, true))
  t.equal((await problemOf(new NtfsBytes(original.bytes.slice(0, -512))))?.code, 'out-of-range', 'cut')

  const one = original.find('one.dat')
  const two = original.find('two.dat')
  const pairs = (number: number, change: (pairs: DataView, attribute: DataView) => void) => (n: NtfsBytes) =>
    n.changeAttribute(number, DATA, (a) => {
      const at = a.getUint16(32, true)
      change(new DataView(a.buffer, a.byteOffset + at, a.byteLength - at), a)
    })
  const touch = (withMirror: boolean) => (n: NtfsBytes) =>
    n.changeAttribute(1, STANDARD_INFORMATION, (a) => a.setUint8(a.getUint16(20, true), 7), { withMirror })
  await expect(undefined, 'another time in a record and its copy', touch(true))
  await expect('inconsistent', 'another time in a record', touch(false))
  await expect('bad-checksum', 'a sector that was not written', (n) =>
    n.data.setUint16(n.recordAt(one) + 510, 9),
  )
  await expect('inconsistent', 'a record that was given up', (n) =>
    n.data.setUint32(n.recordAt(one), 0x44414142),
  )
  await expect('inconsistent', 'a record that is in use and not marked', (n) =>
    n.change(two, (record) => record.setUint16(22, 0, true)),
  )
  await expect('inconsistent', 'a record of another number', (n) =>
    n.change(two, (r) => r.setUint32(44, one, true)),
  )
  await expect('inconsistent', 'a record of another size', (n) =>
    n.change(two, (r) => r.setUint32(28, 4096, true)),
  )
  await expect('inconsistent', 'fixups out of place', (n) => n.data.setUint16(n.recordAt(two) + 4, 600, true))
  await expect('inconsistent', 'an attribute of no size', (n) =>
    n.changeAttribute(two, DATA, (a) => a.setUint32(4, 0, true)),
  )
  await expect('out-of-range', 'an attribute larger than its record', (n) =>
    n.changeAttribute(two, DATA, (a) => a.setUint32(4, 0xfffff8, true)),
  )
  await expect(
    'inconsistent',
    'a run of no clusters',
    pairs(two, (p) => p.setUint8(1, 0)),
  )
  await expect(
    'inconsistent',
    'a run that is longer than told',
    pairs(two, (p) => p.setUint8(1, 14)),
  )
  await expect(
    'inconsistent',
    'a run with an impossible header',
    pairs(two, (p) => p.setUint8(0, 0xf1)),
  )
  await expect(
    'inconsistent',
    'no runs',
    pairs(two, (p) => p.setUint8(0, 0)),
  )
  await expect(
    'inconsistent',
    'an end before the beginning',
    pairs(two, (_, a) => a.setUint32(16, 90, true)),
  )
  await expect(
    'inconsistent',
    'a run that another file has',
    pairs(two, (p) => {
      p.setUint8(0, 0x21)
      p.setUint16(2, original.runAt(one, DATA) / 4096, true)
      p.setUint8(4, 0)
    }),
  )
  await expect(
    'out-of-range',
    'a run out of range',
    pairs(two, (p) => {
      p.setUint8(0, 0x21)
      p.setUint16(2, 0x7fff, true)
      p.setUint8(4, 0)
    }),
  )
  const bitmap = original.runAt(6, DATA)
  const cluster = original.runAt(one, DATA) / 4096
  await expect('inconsistent', 'a free cluster of a file', (n) => {
    n.bytes[bitmap + (cluster >> 3)]! &= ~(1 << (cluster & 7))
  })
  await expect('inconsistent', 'a cluster behind the last one', (n) => {
    n.bytes[bitmap + 255]! &= 0x7f
  })
  await expect('inconsistent', 'a free boot sector', (n) => {
    n.bytes[bitmap]! &= 0xfe
  })
  await expect('unknown-feature', 'shadow copies', (n) => shadowCopies(n, 2))
  await expect(undefined, 'no shadow copies any more', (n) => shadowCopies(n, 1))
  await expect('too-costly', 'shadow copies in a circle', (n) => shadowCopies(n, 1, CATALOG_AT))
})

/** Writes a catalog of shadow copies with one entry of a kind. */
function shadowCopies(ntfs: NtfsBytes, kind: number, next = 0): void {
  const identifier = Buffer.from('6b87083876c1484eb7ae04046e6cc752', 'hex')
  ntfs.bytes.fill(0, CATALOG_AT, CATALOG_AT + 16 * 1024)
  for (const [at, type, leadsTo] of [
    [0x1e00, 1, 0],
    [CATALOG_AT, 2, next],
  ] as const) {
    ntfs.bytes.set(identifier, at)
    ntfs.data.setUint32(at + 16, 1, true)
    ntfs.data.setUint32(at + 20, type, true)
    ntfs.data.setUint32(at + (type === 1 ? 24 : 32), at, true)
    ntfs.data.setUint32(at + 40, leadsTo, true)
  }
  ntfs.data.setUint32(0x1e00 + 48, CATALOG_AT, true)
  ntfs.data.setUint32(CATALOG_AT + 128, kind, true)
}

test('NTFS: the log says whether it was unmounted', { skip }, async (t) => {
  const image = formatNtfs(join(t.testdir(), 'image'), { sizeBytes: 8 * MiB, options: '-c 4096' })
  const original = readNtfs(image)
  const log = original.runAt(2, DATA)
  interface Page {
    readonly inUse?: number
    readonly flags?: number
    readonly lsn?: number
    readonly version?: number
    readonly magic?: string
  }
  const expect = async (code: string | undefined, name: string, ...pages: Page[]) => {
    const ntfs = original.copy()
    for (const [i, page] of pages.entries()) restartPage(ntfs.bytes, log + i * 4096, page)
    t.equal((await problemOf(ntfs))?.code, code, name)
  }
  const closed = {}
  const open = { inUse: 0 }
  await expect(undefined, 'closed', closed, closed)
  await expect('not-clean', 'open', open, open)
  await expect(undefined, 'open and clean', { inUse: 0, flags: 2 }, { inUse: 0, flags: 2 })
  await expect('not-clean', 'both alike, one open', closed, open)
  await expect(undefined, 'the newer one is closed', { ...closed, lsn: 2 }, { ...open, lsn: 1 })
  await expect('not-clean', 'the newer one is open', { ...closed, lsn: 1 }, { ...open, lsn: 2 })
  await expect('not-clean', 'version 2.0', { version: 2 }, { version: 2 })
  await expect('unknown-feature', 'version 3.0', { version: 3 }, { version: 3 })
  await expect('not-clean', 'changed by a check', { magic: 'CHKD' }, { magic: 'CHKD' })
  await expect('not-clean', 'one page', closed)
  const damaged = original.copy()
  damaged.bytes[log + 5000] = 0
  t.equal((await problemOf(damaged))?.code, 'not-clean', 'a log that is not quite empty')
})

function restartPage(
  bytes: Uint8Array,
  at: number,
  { inUse = 0xffff, flags = 0, lsn = 1, version = 1, magic = 'RSTR' },
): void {
  const page = new DataView(bytes.buffer, at, 4096)
  bytes.fill(0, at, at + 4096)
  bytes.set(Buffer.from(magic), at)
  page.setUint16(4, 30, true)
  page.setUint16(6, 9, true)
  page.setUint32(16, 4096, true)
  page.setUint32(20, 4096, true)
  page.setUint16(24, 48, true)
  page.setUint16(26, version === 1 ? 1 : 0, true)
  page.setUint16(28, version, true)
  page.setUint32(48, lsn, true)
  page.setUint16(48 + 12, inUse, true)
  page.setUint16(48 + 14, flags, true)
  page.setUint16(30, 5, true)
  for (let end = 510; end < 4096; end += 512) page.setUint16(end, 5, true)
}

test('NTFS: files for what is in memory', { skip: cannotFill }, async (t) => {
  const image = formatNtfs(join(t.testdir(), 'image'), { sizeBytes: 16 * MiB, options: '-c 4096' })
  const names = ['pagefile.sys', 'swapfile.sys', 'hiberfil.sys']
  whileNtfs(image, 'rw', (folder) => {
    fillFolder(folder, { totalBytes: MiB })
    for (const name of names) writeFileSync(join(folder, name), Buffer.alloc(400_000, name))
  })
  const original = readNtfs(image)
  const hiberfil = original.runAt(original.find('hiberfil.sys'), DATA)
  for (const signature of ['hibr', 'HIBR', 'wake', 'WAKE', 'RSTR', 'else']) {
    const ntfs = original.copy()
    ntfs.bytes.fill(0, hiberfil, hiberfil + 4096)
    ntfs.bytes.set(Buffer.from(signature), hiberfil)
    t.equal((await problemOf(ntfs))?.code, 'hibernated', signature)
  }
  const awake = original.copy()
  awake.bytes.fill(0, hiberfil, hiberfil + 4096)
  const visible = await probeFilesystem(new MemoryVolume(awake.bytes))
  t.match(visible, { state: 'used-map', bytes: { swap: 0 } }, 'files that are not hidden are nothing special')
  const hide = (ntfs: NtfsBytes, name: string) =>
    ntfs.changeAttribute(ntfs.find(name), STANDARD_INFORMATION, (a) =>
      a.setUint32(a.getUint16(20, true) + 32, 0x26, true),
    )
  const linked = awake.copy()
  hide(linked, 'pagefile.sys')
  linked.change(linked.find('pagefile.sys'), (record) => record.setUint16(18, 2, true))
  const twice = await probeFilesystem(new MemoryVolume(linked.bytes))
  t.match(twice, { state: 'used-map', bytes: { swap: 0 } }, 'a file with another name is nothing special')

  for (const name of names) hide(awake, name)
  writeFileSync(image, awake.bytes)
  const tools = {
    check: NTFS_TOOLS.check,
    hashes: (path: string) =>
      whileNtfs(path, 'ro', (folder) => {
        const hashes = hashesOf(folder)
        for (const name of names) delete hashes[name]
        return hashes
      }),
  }
  const map = await assertMapHolds(image, tools, { leaveOut: ['free', 'swap'] })
  const clusters = Math.ceil(400_000 / 4096) * 3
  t.equal(map.bytes.swap, clusters * 4096)
  const source = new MemorySource(awake.bytes)
  t.equal((await usedExtents(source)).leftOut.swap, clusters * 4096)
  t.equal((await usedExtents(source, { policy: 'used-and-swap' })).leftOut.swap, 0)
})

test('NTFS: no bit that flips loses a used cluster', { skip: cannotFill }, async (t) => {
  const image = formatNtfs(join(t.testdir(), 'image'), { sizeBytes: 4 * MiB, options: '-c 1024' })
  whileNtfs(image, 'rw', (folder) => fillFolder(folder, { totalBytes: 300_000, count: 20 }))
  const ntfs = readNtfs(image)
  const { bytes } = ntfs
  const before = await probeFilesystem(new MemoryVolume(bytes))
  t.equal(before.state, 'used-map')
  const used = [...before.extents()]
  const file = ntfs.find('file-1.dat')
  const ranges: [name: string, from: number, length: number, step: number][] = [
    ['boot sector', 0, 512, LONG ? 1 : 13],
    ['its copy', ntfs.backupAt, 512, LONG ? 1 : 31],
    ['bitmap', ntfs.runAt(6, DATA), 512, LONG ? 1 : 13],
    ...[0, 1, 2, 3, 6, file].map((n): [string, number, number, number] => [
      `record ${n}`,
      ntfs.recordAt(n),
      1024,
      LONG ? 1 : 127,
    ]),
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
