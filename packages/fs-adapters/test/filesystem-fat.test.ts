import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probeFilesystem } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import {
  cannotMount,
  copyWhileMounted,
  emptyImage,
  hashesOf,
  MemoryVolume,
  MiB,
  makeFiles,
  missing,
  run,
} from './filesystems/images.ts'
import {
  assertCoversVolume,
  assertMapHolds,
  assertSuperset,
  type FilesystemTools,
  mapOf,
} from './filesystems/used-map-conformance.ts'

const skip = missing('mkfs.fat', 'fsck.fat', 'mcopy', 'mdel', 'mmd')
const LONG = process.env.PLATTER_LONG_TESTS === '1'

const TOOLS: FilesystemTools = {
  check: (image) => run('fsck.fat', '-n', image),
  hashes: (image, scratch) => {
    rmSync(scratch, { recursive: true, force: true })
    mkdirSync(scratch)
    run('mcopy', '-s', '-n', '-Q', '-i', image, '::*', scratch)
    return hashesOf(scratch)
  },
  partclone: 'partclone.fat',
}

interface FatCase {
  readonly type: 'fat12' | 'fat16' | 'fat32'
  readonly sizeBytes: number
  /** Arguments of mkfs.fat. */
  readonly options: string
}

const CASES: readonly FatCase[] = [
  { type: 'fat12', sizeBytes: 1440 * 1024, options: '-F 12' },
  { type: 'fat12', sizeBytes: 4 * MiB + 512, options: '-F 12 -f 1 -s 4' },
  { type: 'fat16', sizeBytes: 16 * MiB, options: '-F 16 -s 4' },
  { type: 'fat16', sizeBytes: 30 * MiB + 1536, options: '-F 16 -r 1024 -R 8 -s 1 -a' },
  { type: 'fat32', sizeBytes: 40 * MiB, options: '-F 32 -s 1' },
  { type: 'fat32', sizeBytes: 400 * MiB, options: '-F 32 -S 4096 -s 1' },
]

/** Makes it, with files of which some were removed again. */
function format(image: string, { sizeBytes, options }: FatCase, folder: string): void {
  emptyImage(image, sizeBytes)
  run('mkfs.fat', '-n', 'SOME LABEL', '-i', '1234abcd', ...options.split(' '), image)
  run('mcopy', '-s', '-i', image, folder, '::first')
  for (const file of ['file-0.dat', 'file-3.dat', 'file-9.dat']) run('mdel', '-i', image, `::first/${file}`)
  run('mcopy', '-s', '-i', image, join(folder, 'sub'), '::second')
}

test('FAT: whatever is not in order is read whole', { skip }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 300_000 })
  const image = join(folder, 'image')
  const codeOf = async (bytes: Uint8Array) => (await probeFilesystem(new MemoryVolume(bytes))).problem?.code
  const [fat16, fat32] = [CASES[2]!, CASES[4]!].map((one) => {
    format(image, one, files)
    return new Uint8Array(readFileSync(image))
  })
  const expect = async (
    original: Uint8Array,
    code: string | undefined,
    name: string,
    change: (data: DataView) => void,
  ) => {
    const bytes = original.slice()
    change(new DataView(bytes.buffer))
    t.equal(await codeOf(bytes), code, name)
  }
  const place = (original: Uint8Array) => {
    const data = new DataView(original.buffer)
    const sectors = data.getUint16(22, true) || data.getUint32(36, true)
    return { table: data.getUint16(14, true) * 512, tableBytes: sectors * 512 }
  }
  const in16 = place(fat16!)
  const both16 = (data: DataView, entry: number, value: number) => {
    for (const copy of [0, 1]) data.setUint16(in16.table + copy * in16.tableBytes + entry * 2, value, true)
  }
  await expect(fat16!, undefined, 'FAT16 as it was', () => {})
  await expect(fat16!, 'not-clean', 'mounted by Linux', (d) => d.setUint8(37, 1))
  await expect(fat16!, 'has-errors', 'errors for Linux', (d) => d.setUint8(37, 2))
  await expect(fat16!, 'not-clean', 'mounted by Windows', (d) => both16(d, 1, 0x7fff))
  await expect(fat16!, 'has-errors', 'errors for Windows', (d) => both16(d, 1, 0xbfff))
  await expect(fat16!, 'inconsistent', 'another medium', (d) => both16(d, 0, 0xfff0))
  await expect(fat16!, 'inconsistent', 'copies differ', (d) =>
    d.setUint16(in16.table + in16.tableBytes + 8000, 0xffff, true),
  )
  await expect(fat16!, 'inconsistent', 'two chains meet', (d) => {
    both16(d, 4000, 4002)
    both16(d, 4001, 4002)
    both16(d, 4002, 0xffff)
  })
  await expect(fat16!, 'inconsistent', 'a chain into the free', (d) => both16(d, 4000, 4002))
  await expect(fat16!, 'out-of-range', 'a chain beyond the last cluster', (d) => both16(d, 4000, 0xffef))
  await expect(fat16!, 'out-of-range', 'a chain to cluster 1', (d) => both16(d, 4000, 1))
  await expect(fat16!, undefined, 'a bad cluster', (d) => both16(d, 4000, 0xfff7))
  await expect(fat16!, 'unrecognised', 'no signature', (d) => d.setUint16(510, 0))
  await expect(fat16!, 'unrecognised', 'sectors of 8 bytes', (d) => d.setUint16(11, 8, true))
  await expect(fat16!, 'unrecognised', 'tables too small', (d) => d.setUint16(22, 2, true))
  t.equal(await codeOf(fat16!.subarray(0, -512)), 'out-of-range')
  t.equal(await codeOf(fat16!.subarray(0, 512)), 'out-of-range')

  await expect(fat32!, undefined, 'FAT32 as it was', () => {})
  await expect(fat32!, 'not-clean', 'FAT32 mounted by Linux', (d) => d.setUint8(65, 1))
  const bootSectors = (data: DataView, at: number, value: number) => {
    for (const sector of [0, 6]) data.setUint16(sector * 512 + at, value, true)
  }
  await expect(fat32!, 'inconsistent', 'a copy that differs', (d) => d.setUint8(6 * 512 + 13, 2))
  await expect(fat32!, undefined, 'a copy of another partition', (d) => d.setUint32(6 * 512 + 28, 63, true))
  await expect(fat32!, undefined, 'no copy', (d) => d.setUint16(50, 0, true))
  await expect(fat32!, 'unknown-feature', 'another version', (d) => bootSectors(d, 42, 1))
  await expect(fat32!, 'unknown-feature', 'tables are no copies', (d) => bootSectors(d, 40, 0x81))
  await expect(fat32!, 'inconsistent', 'another count of free clusters', (d) =>
    d.setUint32(512 + 488, d.getUint32(512 + 488, true) + 1, true),
  )
  await expect(fat32!, undefined, 'no count of free clusters', (d) =>
    d.setUint32(512 + 488, 0xffffffff, true),
  )
  await expect(fat32!, 'inconsistent', 'no sector with the count', (d) => d.setUint32(512, 0, true))
  const root = place(fat32!).table + 2 * place(fat32!).tableBytes
  t.ok(
    Buffer.from(fat32!.buffer, root, 32).toString('latin1').startsWith('SOME LABEL'),
    'the root directory is there',
  )
  await expect(fat32!, 'inconsistent', 'an entry that leads to a free cluster', (d) =>
    d.setUint16(root + 32 + 26, 60_000, true),
  )
  await expect(fat32!, 'inconsistent', 'an entry that leads to the root', (d) =>
    d.setUint16(root + 32 + 26, 2, true),
  )
  await expect(fat32!, 'out-of-range', 'an entry that leads beyond', (d) =>
    d.setUint16(root + 32 + 20, 0x0fff, true),
  )
  await expect(fat32!, 'inconsistent', 'a directory that leads nowhere', (d) =>
    d.setUint16(root + 32 + 26, 0, true),
  )
  await expect(fat32!, 'out-of-range', 'a root directory out of range', (d) => bootSectors(d, 44, 0))
  await expect(fat32!, 'inconsistent', 'a free root directory', (d) => bootSectors(d, 44, 60_000))
})

test('FAT32 with few clusters is what its fields say', { skip }, async (t) => {
  const image = emptyImage(join(t.testdir(), 'image'), 8 * MiB)
  run('mkfs.fat', '-F', '32', image) // mtools does not take it, the kernel does
  const map = await mapOf(image)
  t.match(map, { state: 'used-map', filesystem: { type: 'fat32', label: undefined } })
  t.ok(map.bytes.used < 200_000)
})

test('FAT: no bit that flips in boot sector or table loses a used cluster', { skip }, async (t) => {
  const folder = t.testdir()
  const image = join(folder, 'image')
  const files = makeFiles(join(folder, 'files'), { count: 60, totalBytes: 200_000 })
  // With one copy only, nothing but the chains themselves tells that an entry is wrong.
  const cases: [one: FatCase, entryBits: number][] = [
    [{ type: 'fat12', sizeBytes: MiB, options: '-F 12 -f 1 -s 1' }, 12],
    [{ type: 'fat16', sizeBytes: 4 * MiB, options: '-F 16 -f 1 -s 1' }, 16],
    [{ type: 'fat32', sizeBytes: 40 * MiB, options: '-F 32 -f 1 -s 1' }, 32],
    [{ type: 'fat32', sizeBytes: 40 * MiB, options: '-F 32 -s 1' }, 32],
  ]
  for (const [one, entryBits] of cases) {
    const { options } = one
    format(image, one, files)
    const bytes = new Uint8Array(readFileSync(image))
    const before = await probeFilesystem(new MemoryVolume(bytes))
    t.equal(before.state, 'used-map', options)
    const used = [...before.extents()]
    const data = new DataView(bytes.buffer)
    const table = data.getUint16(14, true) * 512
    const ranges: [from: number, bits: number, step: number][] = [
      [0, 90 * 8, LONG ? 1 : 7],
      [table, 900 * entryBits, LONG ? 5 : 79],
    ]
    for (const [from, bits, step] of ranges) {
      for (let bit = 0; bit < bits; bit += step) {
        const at = from + (bit >> 3)
        bytes[at]! ^= 1 << (bit & 7)
        const map = await probeFilesystem(new MemoryVolume(bytes))
        try {
          assertSuperset(map.extents(), used)
        } catch (error) {
          t.fail(`${options}: bit ${bit & 7} of byte ${at}: ${error}`)
        }
        bytes[at]! ^= 1 << (bit & 7)
      }
    }
  }
})

/** A FAT32 of clusters of 512 bytes, with what a table says and nothing else. */
function tableVolume(entries: Uint32Array): MemoryVolume {
  const tableSectors = Math.ceil((entries.length * 4) / 512)
  const sectors = 32 + tableSectors + entries.length - 2
  const bytes = new Uint8Array((32 + tableSectors) * 512)
  const data = new DataView(bytes.buffer)
  bytes.set([0xeb, 0x58, 0x90])
  data.setUint16(11, 512, true)
  data.setUint8(13, 1)
  data.setUint16(14, 32, true)
  data.setUint8(16, 1)
  data.setUint8(21, 0xf8)
  data.setUint32(32, sectors, true)
  data.setUint32(36, tableSectors, true)
  data.setUint32(44, 2, true)
  data.setUint16(510, 0xaa55, true)
  bytes.set(new Uint8Array(entries.buffer), 32 * 512)
  return new MemoryVolume(bytes, sectors * 512)
}

test('maps of free blocks say what the bitmap says, whatever its pattern', async (t) => {
  const END = 0x0fffffff
  const pattern = fc.record({
    clusters: fc.constantFrom(1000, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 1_500_000),
    // Lengths of used and free runs in turn: short ones make a bitmap, long ones a list of lengths.
    runs: fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), {
      minLength: 1,
      maxLength: 8,
    }),
    factor: fc.constantFrom(1, 1, 17, 1000, 60_000),
  })
  await fc.assert(
    fc.asyncProperty(pattern, async ({ clusters, runs, factor }) => {
      const entries = new Uint32Array(clusters + 2)
      entries[0] = 0x0ffffff8
      entries[1] = END
      entries[2] = END // the root directory
      const expected: number[] = []
      for (let at = 3, i = 0; at < entries.length; i++) {
        const [used, free] = runs[i % runs.length]!
        entries.fill(END, at, at + used * factor)
        at += used * factor
        if (at >= entries.length) break
        expected.push(at, Math.min(at + free * factor, entries.length))
        at += free * factor
      }
      const volume = tableVolume(entries)
      const map = await probeFilesystem(volume)
      if (map.state !== 'used-map') throw new Error(map.problem?.message)
      assertCoversVolume(map, volume.sizeBytes)
      const dataStart = volume.sizeBytes - clusters * 512
      let i = 0
      for (const { offset, length, use } of map.extents()) {
        if (use !== 'free') continue
        const first = (offset - dataStart) / 512 + 2
        if (first !== expected[i++] || first + length / 512 !== expected[i++]) throw new Error(`at ${first}`)
      }
      if (i !== expected.length) throw new Error(`${i / 2} runs of ${expected.length / 2}`)
    }),
    { numRuns: LONG ? 300 : 12 },
  )
  t.pass()
})

test('FAT: what is used is all that is needed', { skip }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 600_000 })
  for (const one of CASES) {
    const image = join(folder, 'image')
    format(image, one, files)
    const name = `${one.type} ${one.options}`
    try {
      // partclone 0.3.23 leaves used clusters of FAT12 out, so it is no witness there.
      const map = await assertMapHolds(image, TOOLS, { withPartclone: one.type !== 'fat12' })
      t.match(map.filesystem, { type: one.type, label: 'SOME LABEL', uuid: '1234-ABCD' }, name)
      t.ok(map.bytes.free > one.sizeBytes * 0.2, `${name} has ${map.bytes.free} free bytes`)
      t.ok(map.bytes.used > 500_000, `${name} has ${map.bytes.used} used bytes`)
    } catch (error) {
      t.fail(`${name}: ${error}`)
    }
  }
})

test('FAT that is mounted is read whole', { skip: skip || cannotMount('vfat') }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 600_000 })
  for (const one of CASES.filter((_, i) => [0, 2, 4].includes(i))) {
    const image = join(folder, 'image')
    format(image, one, files)
    const live = copyWhileMounted(image, join(folder, 'mnt'), 'vfat', (mountPoint) => {
      rmSync(join(mountPoint, 'second'), { recursive: true })
      writeFileSync(join(mountPoint, 'added.txt'), Buffer.alloc(100_000, 'abc'))
    })
    const map = await probeFilesystem(new MemoryVolume(readFileSync(live)))
    t.match(map, { state: 'read-whole', problem: { code: 'not-clean' } }, one.options)
    await assertMapHolds(image, TOOLS)
  }
})
