import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { type FilesystemMap, probeFilesystem } from '@platter/fs-adapters'
import { test } from 'tap'
import { EXT_TOOLS, formatExt } from './filesystems/ext-images.ts'
import { cannotMount, emptyImage, MemoryVolume, MiB, makeFiles, missing, run } from './filesystems/images.ts'
import { assertMapHolds, assertSuperset, freeRanges, mapOf } from './filesystems/used-map-conformance.ts'

const skip =
  cannotMount('ext4') || missing('pvcreate', 'vgcreate', 'lvcreate', 'mke2fs', 'debugfs', 'e2fsck', 'mkswap')
const LONG = process.env.PLATTER_LONG_TESTS === '1'

/** Works without device mapper, which not all kernels have: nothing is activated. */
function lvm(device: string, command: string, ...args: string[]): string {
  return run(command, ...args, '--driverloaded', 'n', '--devices', device)
}

function onDevice<Result>(image: string, use: (device: string) => Result): Result {
  const device = run('losetup', '-f', '--show', image).trim()
  try {
    return use(device)
  } finally {
    run('losetup', '-d', device)
  }
}

/** Makes a group with extents of 1 MiB on one physical volume, and logical volumes in pieces. */
function makeGroup(image: string, ...pvOptions: string[]): void {
  emptyImage(image, 96 * MiB)
  onDevice(image, (device) => {
    const create = (name: string, extents: number) =>
      lvm(device, 'lvcreate', '-y', '-an', '-Zn', '-Wn', '-l', `${extents}`, '-n', name, 'group')
    lvm(device, 'pvcreate', '-y', ...pvOptions, device)
    lvm(device, 'vgcreate', '-s', '1M', 'group', device)
    create('root', 20)
    create('gone', 10)
    create('swap', 12)
    lvm(device, 'lvremove', '-y', 'group/gone')
    // The first ten extents go where the other one was, the rest behind the swap space.
    lvm(device, 'lvextend', '-l', '+14', 'group/root')
    create('empty', 3)
  })
}

/** Where the pieces of logical volumes are, in extents of the physical one, from what lvs says. */
function piecesOf(image: string, name: string): [first: number, last: number][] {
  const text = onDevice(image, (device) =>
    lvm(device, 'lvs', '--noheadings', '-o', 'lv_name,seg_pe_ranges', '-O', 'seg_start'),
  )
  return [...text.matchAll(/^ *(\S+) +\S+:(\d+)-(\d+)/gm)]
    .filter(([, found]) => found === name)
    .map(([, , first, last]) => [Number(first), Number(last)])
}

/** Extents begin here, as the tools have it. */
const EXTENTS_AT = MiB

function fill(image: string, pieces: readonly (readonly [number, number])[], content: Uint8Array): void {
  const fd = openSync(image, 'r+')
  let at = 0
  for (const [first, last] of pieces) {
    const length = (last - first + 1) * MiB
    writeSync(fd, content, at, length, EXTENTS_AT + first * MiB)
    at += length
  }
  closeSync(fd)
}

function contentOf(image: string, pieces: readonly (readonly [number, number])[]): Buffer {
  const bytes = readFileSync(image)
  return Buffer.concat(
    pieces.map(([first, last]) => bytes.subarray(EXTENTS_AT + first * MiB, EXTENTS_AT + (last + 1) * MiB)),
  )
}

/** A group with ext4 in two pieces, swap space, and a volume with nothing. */
function filledGroup(folder: string, ...pvOptions: string[]) {
  const image = join(folder, 'image')
  makeGroup(image, ...pvOptions)
  const [root, swap] = [piecesOf(image, 'root'), piecesOf(image, 'swap')]
  const inner = join(folder, 'inner')
  const files = makeFiles(join(folder, `files-${pvOptions.length}`), { totalBytes: 3 * MiB })
  formatExt(inner, { sizeBytes: 34 * MiB, options: '-t ext4 -b 1024' }, files)
  fill(image, root, readFileSync(inner))
  const innerSwap = emptyImage(join(folder, 'swap'), 12 * MiB)
  run('mkswap', innerSwap)
  fill(image, swap, readFileSync(innerSwap))
  return { image, root, swap, inner }
}

test('LVM2: what is free in linear volumes and between them is left out', { skip }, async (t) => {
  const folder = t.testdir()
  for (const pvOptions of [[], ['--metadatacopies', '2']]) {
    const { image, root, inner } = filledGroup(folder, ...pvOptions)
    t.same(root.length, 2)
    const extracted = join(folder, 'extracted')
    const extract = (from: string) => writeFileSync(extracted, contentOf(from, root))
    const map = await assertMapHolds(image, {
      check: (copy) => {
        extract(copy)
        EXT_TOOLS.check(extracted)
        t.match(
          onDevice(copy, (device) => lvm(device, 'vgck', '-v', 'group')),
          '',
        )
        t.equal(piecesOf(copy, 'root').length, 2)
      },
      hashes: (copy, scratch) => {
        extract(copy)
        return EXT_TOOLS.hashes(extracted, scratch)
      },
    })
    const innerMap = await mapOf(inner)
    const named = map.volumes.map(({ name, filesystem, problem }) => [name, filesystem?.type, problem?.code])
    t.same(named, [
      ['root', 'ext4', undefined],
      ['swap', 'swap', undefined],
      ['empty', undefined, 'unrecognised'],
    ])
    t.equal(map.filesystem?.type, 'lvm2')
    t.match(
      onDevice(image, (device) => lvm(device, 'pvs', '-o', 'uuid')),
      map.filesystem?.uuid,
    )
    t.equal(map.bytes.swap, 12 * MiB - 4096)
    const extents = onDevice(image, (device) => lvm(device, 'pvs', '--noheadings', '-o', 'pv_pe_count'))
    t.equal(map.bytes.free, innerMap.bytes.free + (Number(extents) - 34 - 12 - 3) * MiB)
    const gap = freeRanges(map, MiB).at(-1)
    t.equal(gap, `${1 + 49}-${Number(extents)}`)
    if (pvOptions.length > 0) continue
    // All of the ext4, as its two pieces have it.
    const shifted = freeRanges(innerMap, 1024).map(
      (range) => range.split('-').map(Number) as [number, number],
    )
    const free = new Set<number>()
    for (const range of freeRanges(map, 1024)) {
      const [first, last] = range.split('-').map(Number)
      for (let block = first!; block <= last!; block++) free.add(block)
    }
    const place = (block: number) => {
      const extent = Math.floor(block / 1024)
      const [[start, end], [second]] = root as [[number, number], [number, number]]
      const at = extent <= end - start ? start + extent : second + extent - (end - start + 1)
      return (EXTENTS_AT / MiB + at) * 1024 + (block % 1024)
    }
    for (const [first, last] of shifted)
      for (let block = first; block <= last; block++)
        if (!free.has(place(block))) throw new Error(`block ${block} is free`)
  }
})

let made: Uint8Array | undefined

/** All of such a group that is in use, which is made once. */
function groupBytes(folder: string): Uint8Array {
  made ??= new Uint8Array(readFileSync(filledGroup(folder).image)).slice(0, 51 * MiB)
  return made.slice()
}

function volumeFrom(bytes: Uint8Array): MemoryVolume {
  return new MemoryVolume(bytes, 96 * MiB)
}

function sumOf(bytes: Uint8Array): number {
  return (crc32(bytes, ~0xf597a6cf >>> 0) ^ 0xffffffff) >>> 0
}

const AREA = 4096

/** Where the text is. */
function textOf(image: Uint8Array): { readonly at: number; readonly text: string } {
  const data = new DataView(image.buffer, image.byteOffset)
  const at = AREA + Number(data.getBigUint64(AREA + 40, true))
  return {
    at,
    text: Buffer.from(image.subarray(at, at + Number(data.getBigUint64(AREA + 48, true)))).toString(),
  }
}

/** Puts another text in the place of the first, with sums that are right. */
function withText(image: Uint8Array, change: (text: string) => string): Uint8Array {
  const copy = image.slice()
  const data = new DataView(copy.buffer)
  const { at, text } = textOf(image)
  const bytes = Buffer.from(change(text))
  copy.set(bytes, at)
  data.setBigUint64(AREA + 48, BigInt(bytes.length), true)
  data.setUint32(AREA + 56, sumOf(bytes), true)
  return sealed(copy)
}

function sealed(image: Uint8Array): Uint8Array {
  const data = new DataView(image.buffer, image.byteOffset)
  data.setUint32(AREA, sumOf(image.subarray(AREA + 4, AREA + 512)), true)
  data.setUint32(512 + 16, sumOf(image.subarray(512 + 20, 1024)), true)
  return image
}

test('LVM2: whatever is not in order is kept', { skip }, async (t) => {
  const original = groupBytes(t.testdir())
  const probe = (bytes: Uint8Array): Promise<FilesystemMap> => probeFilesystem(volumeFrom(bytes))
  const used = [...(await probe(original)).extents()]
  const texts: Record<string, [code: string | undefined, from: string | RegExp, to: string]> = {
    'nothing changed': [undefined, 'x', 'x'],
    exported: ['opaque', '"WRITE"]', '"WRITE", "EXPORTED"]'],
    clustered: ['unknown-feature', '"WRITE"]', '"WRITE", "CLUSTERED"]'],
    'flags of the group': ['unknown-feature', 'flags = []', 'flags = ["NEW"]'],
    shared: ['opaque', 'max_lv = 0', 'lock_type = "sanlock"\nmax_lv = 0'],
    'a missing one': ['not-clean', /(pv0 \{[^}]*?)flags = \[\]/, '$1flags = ["MISSING"]'],
    'another format': ['unknown-feature', '"lvm2"', '"lvm1"'],
    'another kind': ['unknown-feature', 'Text Format', 'Some Format'],
    'another version': ['unknown-feature', /\nversion = 1/, '\nversion = 2'],
    'another physical volume': ['inconsistent', /(pv0 \{\s*id = ")....../, '$1aaaaaa'],
    'extents of no size': ['inconsistent', 'extent_size = 2048', 'extent_size = 0'],
    'extents that do not fit': ['out-of-range', 'pe_count = 95', 'pe_count = 96'],
    'fewer extents than are used': ['out-of-range', 'pe_count = 95', 'pe_count = 40'],
    'extents elsewhere': ['inconsistent', 'pe_start = 2048', 'pe_start = 2056'],
    'a number beyond all': ['inconsistent', 'pe_count = 95', 'pe_count = 99999999999999999999'],
    'two in one place': ['inconsistent', /("pv0", )30/, '$10'],
    'segments with gaps': ['inconsistent', /start_extent = 30/, 'start_extent = 31'],
    'a segment too few': ['inconsistent', 'segment_count = 2', 'segment_count = 3'],
    'a stripe nowhere': ['inconsistent', /"pv0", 30/, '"pv7", 30'],
    'being moved': ['not-clean', '"VISIBLE"]', '"VISIBLE", "PVMOVE"]'],
    'another way of allocation': ['unknown-feature', '"striped"', '"mirror"'],
    'a name twice': ['inconsistent', 'max_lv = 0', 'max_pv = 0'],
    'braces without end': ['inconsistent', 'max_lv = 0', `${'a {'.repeat(50)}`],
    'a brace too few': ['inconsistent', /\}\s*\n# Generated/, '\n# Generated'],
    'no text': ['unknown-feature', /^[\s\S]*$/, ' '],
  }
  for (const [name, [code, from, to]] of Object.entries(texts)) {
    const map = await probe(withText(original, (text) => text.replace(from, to)))
    t.equal(map.problem?.code, code, `${name}: ${map.problem?.message}`)
    assertSuperset(map.extents(), used)
  }
  // These keep one volume.
  const kept: Record<string, [from: string | RegExp, to: string]> = {
    hidden: [/(root \{[\s\S]*?), "VISIBLE"\]/, '$1]'],
    flagged: [/(root \{[\s\S]*?)flags = \[\]/, '$1flags = ["ACTIVATION_SKIP"]'],
    'with a snapshot': [
      /(logical_volumes \{)/,
      '$1 snapshot0 { status = ["READ"] flags = [] segment_count = 1 segment1 { start_extent = 0 extent_count = 34 type = "snapshot" chunk_size = 8 origin = "root" cow_store = "empty" } }',
    ],
  }
  for (const [name, [from, to]] of Object.entries(kept)) {
    const map = await probe(withText(original, (text) => text.replace(from, to)))
    t.equal(map.problem, undefined, name)
    t.equal(map.volumes.find((volume) => volume.name === 'root')?.problem?.code, 'opaque', name)
    t.equal(map.bytes.free, (95 - 49) * MiB, name)
  }
  const patches: Record<string, [code: string | undefined, change: (data: DataView) => void]> = {
    'another kind of label': ['unknown-feature', (d) => d.setUint8(512 + 24 + 7, 0x32)],
    'a label of another sector': ['inconsistent', (d) => d.setUint8(512 + 8, 2)],
    'larger than the volume': ['out-of-range', (d) => d.setUint8(512 + 32 + 32 + 4, 1)],
    'no areas of metadata': ['opaque', (d) => new Uint8Array(d.buffer).fill(0, 512 + 32 + 72, 512 + 32 + 88)],
    'an area behind the end': ['out-of-range', (d) => d.setBigUint64(512 + 32 + 72, 2n ** 50n, true)],
    'another version': ['unknown-feature', (d) => d.setUint32(AREA + 20, 2, true)],
    'an area of another place': ['inconsistent', (d) => d.setUint32(AREA + 24, 8192, true)],
    'an area that is ignored': ['opaque', (d) => d.setUint32(AREA + 60, 1, true)],
    'a change under way': ['not-clean', (d) => d.setUint32(AREA + 64, 512, true)],
    'no group': ['opaque', (d) => d.setBigUint64(AREA + 40, 0n, true)],
    'a text behind its area': ['out-of-range', (d) => d.setBigUint64(AREA + 40, 2n ** 40n, true)],
    'a text of 2^50 bytes': ['out-of-range', (d) => d.setBigUint64(AREA + 48, 2n ** 50n, true)],
    'another sum of the text': ['bad-checksum', (d) => d.setUint32(AREA + 56, 1, true)],
  }
  for (const [name, [code, change]] of Object.entries(patches)) {
    const bytes = original.slice()
    change(new DataView(bytes.buffer))
    const map = await probe(sealed(bytes))
    t.equal(map.problem?.code, code, `${name}: ${map.problem?.message}`)
  }
})

test('LVM2: a text that goes round in its area is read', { skip }, async (t) => {
  const image = groupBytes(t.testdir())
  const before = await probeFilesystem(volumeFrom(image))
  const data = new DataView(image.buffer)
  const { at, text } = textOf(image)
  const size = Number(data.getBigUint64(AREA + 32, true))
  const bytes = Buffer.from(text)
  image.fill(0, at, at + bytes.length)
  image.set(bytes.subarray(0, 512), AREA + size - 512)
  image.set(bytes.subarray(512), AREA + 512)
  data.setBigUint64(AREA + 40, BigInt(size - 512), true)
  const after = await probeFilesystem(volumeFrom(sealed(image)))
  t.equal(after.problem, undefined)
  t.same([...after.extents()], [...before.extents()])
})

test('LVM2: no byte that is damaged loses a used block', { skip }, async (t) => {
  const image = groupBytes(t.testdir())
  const used = [...(await probeFilesystem(volumeFrom(image))).extents()]
  const { at, text } = textOf(image)
  const ranges = [
    [512, 512],
    [AREA, 128],
    [at, text.length],
  ] as const
  for (const [start, length] of ranges) {
    for (let i = 0; i < length; i += start === at && !LONG ? 13 : 1) {
      image[start + i]! ^= 1 << (i % 8)
      assertSuperset((await probeFilesystem(volumeFrom(image))).extents(), used)
      image[start + i]! ^= 1 << (i % 8)
    }
  }
  t.same([...(await probeFilesystem(volumeFrom(image))).extents()], used)
})
