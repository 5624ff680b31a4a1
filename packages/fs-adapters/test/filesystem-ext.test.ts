import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PlatterError } from '@platter/core'
import { type ProbeOptions, probeFilesystem, type Volume } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import {
  anyExt,
  changeFiles,
  dumpedExt,
  EXT_CASES,
  EXT_TOOLS,
  type ExtCase,
  formatExt,
} from './filesystems/ext-images.ts'
import {
  cannotMount,
  copyWhileMounted,
  hashesOf,
  MemoryVolume,
  MiB,
  makeFiles,
  missing,
  run,
  runWith,
} from './filesystems/images.ts'
import { assertMapHolds, assertSuperset, freeRanges, mapOf } from './filesystems/used-map-conformance.ts'

const skip = missing('mke2fs', 'dumpe2fs', 'debugfs', 'e2fsck')
/** PLATTER_LONG_TESTS=1 looks at every bit and many more damages. */
const LONG = process.env.PLATTER_LONG_TESTS === '1'

const SUPERBLOCK = 1024

/** A small filesystem in memory. */
function smallImage(folder: string, options: string, sizeBytes = 8 * MiB): Uint8Array {
  const image = join(folder, 'small')
  formatExt(
    image,
    { sizeBytes, options },
    makeFiles(join(folder, `files-${Math.random()}`), { totalBytes: MiB }),
  )
  return new Uint8Array(readFileSync(image)) // a Buffer would share what is sliced off
}

const NO_CHECKSUMS = '-t ext4 -b 1024 -g 1024 -O ^metadata_csum,^uninit_bg,^64bit,^resize_inode,mmp'

test('ext4: whatever is not in order is read whole', { skip }, async (t) => {
  const original = smallImage(t.testdir(), NO_CHECKSUMS)
  const descriptors = 2 * 1024
  const view = new DataView(original.buffer, original.byteOffset)
  const bitmap = view.getUint32(descriptors, true) * 1024
  const table = view.getUint32(descriptors + 8, true)
  const mmp = view.getUint32(SUPERBLOCK + 360, true) * 1024
  const add = (data: DataView, at: number, by: number) =>
    data.setUint32(at, data.getUint32(at, true) + by, true)
  const or = (data: DataView, at: number, bits: number) =>
    data.setUint32(at, data.getUint32(at, true) | bits, true)
  // Groups have 1024 blocks, and the first one begins with block 1.
  const free = (data: DataView, block: number) => {
    const group = descriptors + 32 * Math.floor((block - 1) / 1024)
    const bit = (block - 1) % 1024
    const at = data.getUint32(group, true) * 1024 + (bit >> 3)
    data.setUint8(at, data.getUint8(at) & ~(1 << (bit & 7)))
    add(data, SUPERBLOCK + 12, 1)
    add(data, group + 12, 1)
  }
  const cases: Record<string, [code: string | undefined, change: (data: DataView) => void]> = {
    'nothing changed': [undefined, () => {}],
    'not unmounted': ['not-clean', (d) => d.setUint16(SUPERBLOCK + 58, 0, true)],
    'has errors': ['has-errors', (d) => d.setUint16(SUPERBLOCK + 58, 3, true)],
    'recovers orphans': ['not-clean', (d) => d.setUint16(SUPERBLOCK + 58, 5, true)],
    'counts errors': ['has-errors', (d) => d.setUint32(SUPERBLOCK + 404, 1, true)],
    'has orphans': ['not-clean', (d) => d.setUint32(SUPERBLOCK + 232, 12, true)],
    'has orphans in a file': ['not-clean', (d) => or(d, SUPERBLOCK + 100, 0x10000)],
    'needs recovery': ['not-clean', (d) => or(d, SUPERBLOCK + 96, 4)],
    'unknown compatible feature': ['unknown-feature', (d) => or(d, SUPERBLOCK + 92, 0x40)],
    'unknown incompatible feature': ['unknown-feature', (d) => or(d, SUPERBLOCK + 96, 0x80000000)],
    compression: ['unknown-feature', (d) => or(d, SUPERBLOCK + 96, 1)],
    'unknown read-only compatible feature': ['unknown-feature', (d) => or(d, SUPERBLOCK + 100, 0x800)],
    'unknown revision': ['unknown-feature', (d) => d.setUint32(SUPERBLOCK + 76, 2, true)],
    'first revision with features': ['inconsistent', (d) => d.setUint32(SUPERBLOCK + 76, 0, true)],
    'checksums where there were none': ['unknown-feature', (d) => or(d, SUPERBLOCK + 100, 0x400)],
    'descriptor checksums where there were none': ['bad-checksum', (d) => or(d, SUPERBLOCK + 100, 0x10)],
    'one more free block': ['inconsistent', (d) => add(d, SUPERBLOCK + 12, 1)],
    'one more free block in a group': ['inconsistent', (d) => add(d, descriptors + 12, 1)],
    'more blocks than the volume': ['out-of-range', (d) => add(d, SUPERBLOCK + 4, 1)],
    'other number of inodes': ['inconsistent', (d) => add(d, SUPERBLOCK, 8)],
    'bitmap behind the end': ['out-of-range', (d) => d.setUint32(descriptors, 8192, true)],
    'bitmap in the boot block': ['out-of-range', (d) => d.setUint32(descriptors, 0, true)],
    'bitmap in a table': ['inconsistent', (d) => d.setUint32(descriptors, table + 1, true)],
    'bitmap of another group': ['inconsistent', (d) => d.setUint32(descriptors, bitmap / 1024 + 1, true)],
    'two bitmaps of inodes in one place': [
      'inconsistent',
      (d) => d.setUint32(descriptors + 32 + 4, d.getUint32(descriptors + 4, true), true),
    ],
    'table free, counts agree': ['inconsistent', (d) => free(d, table)],
    'multiple mount protection free, counts agree': ['inconsistent', (d) => free(d, mmp / 1024)],
    'a file free, counts agree': [undefined, (d) => free(d, mmp / 1024 + 1)],
    'mounted elsewhere': ['not-clean', (d) => d.setUint32(mmp + 4, 17, true)],
    'no block of multiple mount protection': ['inconsistent', (d) => d.setUint32(mmp, 0, true)],
    'multiple mount protection out of range': [
      'out-of-range',
      (d) => d.setUint32(SUPERBLOCK + 360, 8192, true),
    ],
    'multiple mount protection in 2^63': [
      'out-of-range',
      (d) => d.setUint32(SUPERBLOCK + 364, 2 ** 31, true),
    ],
    'marks of NTFS': ['ambiguous', (d) => d.setBigUint64(3, 0x202020205346544en, true)],
    'marks of LUKS': ['ambiguous', (d) => d.setBigUint64(0, 0x0100beba534b554cn, true)],
    'a table of partitions': [
      'ambiguous',
      (d) => {
        d.setUint16(510, 0xaa55, true)
        d.setUint8(446 + 4, 0x83)
        d.setUint32(446 + 8, 2048, true)
        d.setUint32(446 + 12, 2048, true)
      },
    ],
    'no magic': ['unrecognised', (d) => d.setUint16(SUPERBLOCK + 56, 0, true)],
  }
  for (const [name, [code, change]] of Object.entries(cases)) {
    const bytes = original.slice()
    change(new DataView(bytes.buffer))
    const map = await probeFilesystem(new MemoryVolume(bytes))
    t.equal(map.problem?.code, code, `${name}: ${map.problem?.message}`)
    t.equal(map.state, code === undefined ? 'used-map' : 'read-whole', name)
    if (code !== undefined)
      t.same([...map.extents()], [{ offset: 0, length: bytes.length, use: 'used' }], name)
  }
})

test('ext4 without flex_bg: a structure outside of its group is read whole', { skip }, async (t) => {
  const image = smallImage(
    t.testdir(),
    '-t ext4 -b 1024 -g 1024 -O ^metadata_csum,^uninit_bg,^flex_bg,^64bit,^resize_inode',
  )
  const data = new DataView(image.buffer)
  const place = 1020 // in use by the journal, so that no bitmap says otherwise
  t.ok(data.getUint8(data.getUint32(2048, true) * 1024 + (place >> 3)) & 8)
  t.equal((await probeFilesystem(new MemoryVolume(image))).state, 'used-map')
  data.setUint32(2048 + 32 + 4, place, true)
  t.equal((await probeFilesystem(new MemoryVolume(image))).problem?.code, 'out-of-range')
})

test('ext4: volumes that are cut short, unreadable or too costly are read whole', { skip }, async (t) => {
  const original = smallImage(t.testdir(), NO_CHECKSUMS)
  const codeOf = async (volume: Volume, options?: ProbeOptions) =>
    (await probeFilesystem(volume, options)).problem?.code
  for (const size of [8 * MiB - 1, 4 * MiB, 4096, 2048]) {
    t.equal(await codeOf(new MemoryVolume(original.subarray(0, size))), 'out-of-range', `cut to ${size}`)
  }
  for (const size of [2047, 1024, 1, 0]) {
    t.equal(await codeOf(new MemoryVolume(original.subarray(0, size))), 'unrecognised', `cut to ${size}`)
  }
  const failing = (from: number, to: number, error: () => Error): Volume => ({
    sizeBytes: original.length,
    read: async (offset, into) => {
      if (offset < to && offset + into.length > from) throw error()
      into.set(original.subarray(offset, offset + into.length))
      return into.length
    },
  })
  const ioError = () => new PlatterError('ERR_SOURCE_READ', 'a bad sector')
  const bitmap = new DataView(original.buffer, original.byteOffset).getUint32(2048 + 12 * 32, true) * 1024
  t.equal(await codeOf(failing(bitmap, bitmap + 512, ioError)), 'unreadable')
  t.equal(await codeOf(failing(1024, 1536, ioError)), 'unreadable')
  t.equal(await codeOf(failing(5 * MiB, 5 * MiB + 512, ioError)), undefined, 'a bad sector that nobody needs')
  const mmp = new DataView(original.buffer, original.byteOffset).getUint32(SUPERBLOCK + 360, true) * 1024
  t.equal(await codeOf(failing(mmp, mmp + 512, ioError)), 'unreadable')
  t.equal(
    await codeOf(failing(mmp + 1024, mmp + 1536, ioError)),
    undefined,
    'a bad sector beside what is needed',
  )
  const gone = () => new PlatterError('ERR_SOURCE_CHANGED', 'gone')
  await t.rejects(codeOf(failing(1024, 1536, gone)), { code: 'ERR_SOURCE_CHANGED' })
  await t.rejects(codeOf(new MemoryVolume(original), { signal: AbortSignal.abort() }), { name: 'AbortError' })
  const endsEarly: Volume = { sizeBytes: original.length, read: async () => 0 }
  t.equal(await codeOf(endsEarly), 'unreadable')
  t.equal(await codeOf(new MemoryVolume(original), { maxReadBytes: 300_000 }), undefined)
  t.equal(await codeOf(new MemoryVolume(original), { maxReadBytes: 265_000 }), 'too-costly')
  let now = 0
  t.equal(await codeOf(new MemoryVolume(original), { maxMillis: 2, now: () => now++ }), 'too-costly')
})

test('ext4: descriptors behind the end are not read', { skip }, async (t) => {
  const features = '^metadata_csum,^uninit_bg,^64bit,^resize_inode,^sparse_super,meta_bg'
  const image = smallImage(t.testdir(), `-t ext4 -b 1024 -g 256 -N 1024 -O ${features}`, 32 * MiB)
  const data = new DataView(image.buffer)
  t.equal((await probeFilesystem(new MemoryVolume(image))).state, 'used-map')
  // The last group has room for its superblock only; the fourth block of descriptors would follow.
  const blocks = 1 + 96 * 256 + 1
  data.setUint32(SUPERBLOCK + 4, blocks, true)
  data.setUint32(SUPERBLOCK, 97 * data.getUint32(SUPERBLOCK + 40, true), true)
  const map = await probeFilesystem(new MemoryVolume(image.subarray(0, blocks * 1024)))
  t.equal(map.problem?.code, 'out-of-range')
})

test('ext4: sizes that nobody can have end soon', { skip }, async (t) => {
  const original = smallImage(t.testdir(), '-t ext4 -b 1024 -O ^metadata_csum,64bit,^uninit_bg,^resize_inode')
  for (const [high, low] of [
    [2 ** 32 - 1, 2 ** 32 - 1],
    [2 ** 20, 0],
    [1, 0],
    [0, 2 ** 32 - 1],
  ]) {
    const bytes = original.slice()
    const view = new DataView(bytes.buffer)
    view.setUint32(SUPERBLOCK + 4, low!, true)
    view.setUint32(SUPERBLOCK + 336, high!, true)
    view.setUint32(SUPERBLOCK, 2 ** 32 - 8, true)
    // A volume that is as large as it claims to be, as a sparse file can be.
    const volume = new MemoryVolume(bytes, Number.MAX_SAFE_INTEGER)
    const map = await probeFilesystem(volume)
    t.equal(map.state, 'read-whole', `${map.problem?.message}`)
    t.ok(volume.bytesRead < 2 * MiB, `${volume.bytesRead} bytes were read`)
  }
})

test('ext4: checksums of everything that is relied on are checked', { skip }, async (t) => {
  const folder = t.testdir()
  const codeOf = async (image: Uint8Array) => (await probeFilesystem(new MemoryVolume(image))).problem?.code
  const cases: [options: string, descriptorBytes: number, hasMetadataChecksums: boolean][] = [
    ['metadata_csum,64bit,mmp', 64, true],
    ['metadata_csum,^64bit,mmp,metadata_csum_seed', 32, true],
    ['^metadata_csum,uninit_bg,64bit', 64, false],
    ['^metadata_csum,uninit_bg,^64bit', 32, false],
  ]
  for (const [features, descriptorBytes, hasMetadataChecksums] of cases) {
    const image = smallImage(folder, `-t ext4 -b 1024 -g 1024 -O ${features},^resize_inode`)
    const data = new DataView(image.buffer)
    t.equal(await codeOf(image), undefined, features)
    const flipped = async (at: number, bits: number) => {
      image[at]! ^= bits
      const code = await codeOf(image)
      image[at]! ^= bits
      return code
    }
    const code = hasMetadataChecksums ? 'bad-checksum' : undefined
    t.equal(await flipped(SUPERBLOCK + 120, 1), code, `${features}: a letter of the label`)
    const second = 2048 + descriptorBytes
    for (const at of [14, 26, descriptorBytes - 1]) {
      t.equal(await flipped(second + at, 1), 'bad-checksum', `${features}: byte ${at} of a descriptor`)
    }
    if (!hasMetadataChecksums) continue
    t.equal(await flipped(data.getUint32(SUPERBLOCK + 360, true) * 1024 + 16, 1), code, `${features}: mmp`)
    // A bit that is set and one that is not change places, so that the count stays what it was.
    const bitmaps = Array.from({ length: 8 }, (_, group) => {
      const at = data.getUint32(2048 + group * descriptorBytes, true) * 1024
      return image.subarray(at, at + 128)
    })
    const halfUsed = bitmaps.find((bitmap) => bitmap.includes(0xff) && bitmap.includes(0))!
    halfUsed[halfUsed.indexOf(0)] = 1
    halfUsed[halfUsed.indexOf(0xff)] = 0xfe
    t.equal(await codeOf(image), code, `${features}: two bits of a bitmap`)
  }
})

/** Bytes that the survey relies on: superblock, descriptors, bitmaps. */
function metadataBytes(image: Uint8Array, descriptorBytes: number, groups: number): number[] {
  const view = new DataView(image.buffer, image.byteOffset)
  const ranges: [start: number, length: number][] = [
    [SUPERBLOCK, 1024],
    [2048, groups * descriptorBytes],
  ]
  for (let group = 0; group < groups; group++) {
    ranges.push([view.getUint32(2048 + group * descriptorBytes, true) * 1024, 128])
  }
  return ranges.flatMap(([start, length]) => Array.from({ length }, (_, i) => start + i))
}

test('ext4 with checksums: no damage of metadata loses a used block', { skip }, async (t) => {
  const image = smallImage(t.testdir(), '-t ext4 -b 1024 -g 1024 -O metadata_csum,64bit,^resize_inode')
  const before = await probeFilesystem(new MemoryVolume(image))
  t.equal(before.state, 'used-map')
  const used = [...before.extents()]
  const places = metadataBytes(image, 64, 8)
  const damage = fc.array(fc.tuple(fc.constantFrom(...places), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 6,
  })
  let kept = 0
  await fc.assert(
    fc.asyncProperty(damage, async (changes) => {
      const undo = changes.map(([at]) => [at, image[at]!] as const)
      for (const [at, value] of changes) image[at] = value
      try {
        const map = await probeFilesystem(new MemoryVolume(image))
        if (map.state === 'used-map') kept++
        assertSuperset(map.extents(), used)
      } finally {
        for (const [at, value] of undo) image[at] = value
      }
    }),
    { numRuns: LONG ? 50_000 : 1500 },
  )
  t.comment(`${kept} damages were none`)
})

test('ext4 without checksums: no bit that flips loses a used block', { skip }, async (t) => {
  const image = smallImage(t.testdir(), NO_CHECKSUMS)
  const before = await probeFilesystem(new MemoryVolume(image))
  t.equal(before.state, 'used-map')
  const used = [...before.extents()]
  const places = metadataBytes(image, 32, 8)
  for (let bit = 0; bit < places.length * 8; bit += LONG ? 1 : 11) {
    const at = places[bit >> 3]!
    image[at]! ^= 1 << (bit & 7)
    const map = await probeFilesystem(new MemoryVolume(image))
    try {
      assertSuperset(map.extents(), used)
    } catch (error) {
      t.fail(`bit ${bit & 7} of byte ${at}: ${error}`)
    }
    image[at]! ^= 1 << (bit & 7)
  }
  const after = await probeFilesystem(new MemoryVolume(image))
  t.same([...after.extents()], used)
})

test('ext2, ext3, ext4: the map is that of dumpe2fs, and what is used is all that is needed', {
  skip,
}, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 900_000 })
  for (const one of EXT_CASES) {
    const image = join(folder, 'image')
    formatExt(image, one, files)
    changeFiles(image, files)
    // mke2fs and debugfs do not count what they write for quotas.
    if (one.options.includes('quota')) runWith({ allowed: [0, 1] }, 'e2fsck', '-fy', image)
    // partclone takes clusters for blocks, and says so.
    const withPartclone = !one.options.includes('bigalloc')
    try {
      const map = await assertMapHolds(image, EXT_TOOLS, { withPartclone })
      const dumped = dumpedExt(image)
      const { type = 'ext4' } = one
      const { uuid, blockBytes } = dumped
      t.match(map.filesystem, { type, uuid, blockBytes, label: 'some label' }, one.name)
      t.equal(map.bytes.free, dumped.freeBlocks * blockBytes, one.name)
      t.same(freeRanges(map, blockBytes), dumped.free, one.name)
    } catch (error) {
      t.fail(`${one.name}: ${error}`)
    }
  }
})

test('ext2, ext3, ext4 after a life: mounted, filled, fragmented', {
  skip: skip || cannotMount('ext4'),
}, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { count: 300, totalBytes: 12 * MiB })
  const cases: Omit<ExtCase, 'name'>[] = [
    {
      sizeBytes: 24 * MiB,
      options: '-t ext4 -b 1024 -O metadata_csum_seed,orphan_file,fast_commit',
    },
    { sizeBytes: 24 * MiB, options: '-t ext4 -b 4096 -O bigalloc,inline_data -C 8192' },
    { sizeBytes: 24 * MiB, options: '-t ext3 -b 2048' },
    { sizeBytes: 24 * MiB, options: '-t ext2 -b 1024' },
  ]
  for (const one of cases) {
    const image = join(folder, 'image')
    formatExt(image, one)
    const copy = copyWhileMounted(image, join(folder, 'mnt'), 'ext4', (mountPoint) => {
      run('cp', '-r', files, join(mountPoint, 'first'))
      const everySecond = Object.keys(hashesOf(files)).filter((_, i) => i % 2 === 0)
      for (const path of everySecond) rmSync(join(mountPoint, 'first', path))
      writeFileSync(join(mountPoint, 'into the gaps'), Buffer.alloc(5 * MiB, 'abc'))
    })
    const live = await mapOf(copy)
    t.match(live, { state: 'read-whole', problem: { code: 'not-clean' } }, one.options)
    const map = await assertMapHolds(image, EXT_TOOLS, { withPartclone: !one.options.includes('bigalloc') })
    t.ok([...map.extents()].length > 60, `${one.options} is fragmented`)
    t.same(freeRanges(map, dumpedExt(image).blockBytes), dumpedExt(image).free, one.options)
  }
})

test('ext4 with its journal elsewhere', { skip: skip || cannotMount('ext4') }, async (t) => {
  const folder = t.testdir()
  const image = join(folder, 'image')
  const journal = join(folder, 'journal')
  formatExt(journal, { sizeBytes: 8 * MiB, options: '-O journal_dev -b 4096' })
  const device = run('losetup', '-f', '--show', journal).trim()
  try {
    formatExt(image, { sizeBytes: 16 * MiB, options: `-t ext4 -b 4096 -J device=${device}` })
  } finally {
    run('losetup', '-d', device)
  }
  const map = await mapOf(image)
  t.match(map, { state: 'used-map', filesystem: { type: 'ext4' } })
  t.same(freeRanges(map, 4096), dumpedExt(image).free)
  t.match(await mapOf(journal), {
    state: 'read-whole',
    filesystem: { type: 'ext-journal' },
    problem: { code: 'opaque' },
  })
})

test('ext4 of more than 2^32 blocks', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  formatExt(image, {
    sizeBytes: 2 ** 42 + 2 ** 33,
    options:
      '-t ext4 -b 1024 -C 65536 -O bigalloc,64bit,^has_journal,^resize_inode -E lazy_itable_init=1 -N 20000',
  })
  const map = await mapOf(image)
  const dumped = dumpedExt(image)
  t.equal(map.state, 'used-map')
  t.equal(map.bytes.free, dumped.freeBlocks * 1024)
  t.same(freeRanges(map, 1024), dumped.free)
  rmSync(image)
})

test('ext4 with any options', { skip: skip || (!LONG && 'a long test: PLATTER_LONG_TESTS=1') }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 300_000 })
  const image = join(folder, 'image')
  const seed = Date.now()
  let made = 0
  for (const one of fc.sample(anyExt, { numRuns: 300, seed })) {
    try {
      formatExt(image, one, files)
      changeFiles(image, files)
    } catch {
      continue // refused
    }
    made++
    try {
      const map = await assertMapHolds(image, EXT_TOOLS, { withPartclone: !one.options.includes('bigalloc') })
      t.same(freeRanges(map, dumpedExt(image).blockBytes), dumpedExt(image).free, one.name)
    } catch (error) {
      t.fail(`seed ${seed}, ${one.sizeBytes} bytes, ${one.name}: ${error}`)
    }
  }
  t.comment(`${made} filesystems were made`)
  t.ok(made > 100)
})
