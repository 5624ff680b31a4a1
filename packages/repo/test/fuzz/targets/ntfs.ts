// NTFS: sectors and clusters of 512 bytes, records of 1 KiB of which an input has the first half.
import type { FuzzTarget } from '../target.ts'
import { pieces, surveyed } from './filesystems.ts'

const VOLUME_BYTES = 64 * 1024
const CLUSTER = 512
const RECORD_BYTES = 1024
const RECORDS = 28

/** Clusters at which things begin. */
const MFT = 16
const MIRROR = 80
const LOG = 88
const BITMAP = 96
const RECORD_BITMAP = 97
const FILES = 98

/** Lengths of the parts of an input, behind a byte of bits. */
const BOOT_BYTES = 80
const SHADOW_BYTES = 96
const RECORD_INPUT_BYTES = 384
const LOG_PAGE_BYTES = 512
const LOG_INPUT_BYTES = 80
const BITMAP_BYTES = 16

const WRONG_FIXUPS = 1
const OTHER_MIRROR = 2

const disk = Buffer.alloc(VOLUME_BYTES)

const ntfs: FuzzTarget = {
  name: 'ntfs',
  form: 'bytes',
  seeds: [
    seed({}),
    seed({ bits: WRONG_FIXUPS }),
    seed({ isListed: true }),
    seed({ isAsleep: true }),
    seed({ isOpen: true }),
  ],
  codes: [],
  async run(input) {
    const next = pieces(input)
    disk.fill(0)
    const bits = next(1)[0] ?? 0
    disk.set(next(BOOT_BYTES), 0)
    disk.writeUInt16LE(0xaa55, 510)
    disk.copy(disk, VOLUME_BYTES - CLUSTER, 0, CLUSTER)
    disk.set(next(SHADOW_BYTES), 0x1e00)
    for (let at = LOG; at < LOG + 2; at++) disk.set(next(LOG_INPUT_BYTES), at * CLUSTER)
    disk.set(next(BITMAP_BYTES), BITMAP * CLUSTER)
    disk.set(next(BITMAP_BYTES), RECORD_BITMAP * CLUSTER)
    disk.set(next(CLUSTER), FILES * CLUSTER)
    for (let i = 0; i < RECORDS; i++) disk.set(next(RECORD_INPUT_BYTES), MFT * CLUSTER + i * RECORD_BYTES)
    if (!(bits & WRONG_FIXUPS)) {
      for (let i = 0; i < RECORDS; i++) fixUp(MFT * CLUSTER + i * RECORD_BYTES, RECORD_BYTES)
      for (let i = 0; i < 2; i++) fixUp(LOG * CLUSTER + i * LOG_PAGE_BYTES, LOG_PAGE_BYTES)
    }
    if (!(bits & OTHER_MIRROR))
      disk.copy(disk, MIRROR * CLUSTER, MFT * CLUSTER, MFT * CLUSTER + 4 * RECORD_BYTES)
    return surveyed(disk, [
      [0, CLUSTER],
      [VOLUME_BYTES - CLUSTER, VOLUME_BYTES],
      [MFT * CLUSTER, MFT * CLUSTER + RECORD_BYTES],
    ])
  },
}

/** Puts the number of a structure at the ends of its sectors. */
function fixUp(at: number, length: number): void {
  const array = disk.readUInt16LE(at + 4)
  if (array > CLUSTER - 8) return
  for (let end = 510, i = 1; end < length; end += 512, i++) {
    disk.copy(disk, at + array + 2 * i, at + end, at + end + 2)
    disk.copy(disk, at + end, at + array, at + array + 2)
  }
}

interface Seed {
  readonly bits?: number
  /** The file table is in two pieces, the second one told by another record. */
  readonly isListed?: boolean
  readonly isAsleep?: boolean
  readonly isOpen?: boolean
}

function seed({ bits = 0, isListed = false, isAsleep = false, isOpen = false }: Seed): Uint8Array {
  const boot = Buffer.alloc(BOOT_BYTES)
  boot.write('\xeb\x52\x90NTFS    ', 'latin1')
  boot.writeUInt16LE(CLUSTER, 11)
  boot[13] = 1
  boot.writeUInt32LE(VOLUME_BYTES / CLUSTER - 1, 40)
  boot.writeUInt32LE(MFT, 48)
  boot.writeUInt32LE(MIRROR, 56)
  boot.writeInt8(-10, 64)
  const shadow = Buffer.alloc(SHADOW_BYTES)
  if (isOpen) shadow.write('6b87083876c1484eb7ae04046e6cc75201', 'hex')
  const page = logPage(isOpen)
  const bitmap = Buffer.alloc(BITMAP_BYTES)
  for (let i = 0; i < 128; i++) if (i < 108 || i === 127) bitmap[i >> 3]! |= 1 << (i & 7)
  const recordBitmap = Buffer.alloc(BITMAP_BYTES)
  recordBitmap.writeUInt32LE(isListed ? 0x0f00ffff : 0x0f0007ff)
  const hibernation = Buffer.alloc(CLUSTER)
  if (isAsleep) hibernation.write('hibr')
  return Buffer.concat([
    Buffer.of(bits),
    boot,
    shadow,
    page,
    page,
    bitmap,
    recordBitmap,
    hibernation,
    records(isListed),
  ])
}

function logPage(isOpen: boolean): Buffer {
  const page = Buffer.alloc(LOG_INPUT_BYTES)
  page.write('RSTR')
  for (const [at, value] of [
    [4, 30],
    [6, 2],
    [16, LOG_PAGE_BYTES],
    [24, 48],
    [26, 1],
    [28, 1],
    [30, 7],
    [60, isOpen ? 0 : 0xffff],
  ] as const)
    page.writeUInt16LE(value, at)
  return page
}

function records(isListed: boolean): Buffer {
  const recordBits = nonResident(0xb0, 0, 1, [run(1, RECORD_BITMAP)], BITMAP_BYTES)
  const own = isListed
    ? [
        list([0x80, 0, 0], [0x80, 40, 15], [0xb0, 0, 0]),
        nonResident(0x80, 0, 40, [run(40, MFT)], 2 * RECORDS * CLUSTER),
        recordBits,
      ]
    : [nonResident(0x80, 0, 2 * RECORDS, [run(2 * RECORDS, MFT)]), recordBits]
  const all = new Map<number, Buffer[]>([
    [0, own],
    [1, [nonResident(0x80, 0, 8, [run(8, MIRROR)])]],
    [2, [nonResident(0x80, 0, 8, [run(8, LOG)], 1024)]],
    [
      3,
      [
        resident(0x60, Buffer.from('label', 'utf16le')),
        resident(0x70, Buffer.from('00000000000000000301000000000000', 'hex')),
      ],
    ],
    [6, [nonResident(0x80, 0, 1, [run(1, BITMAP)], BITMAP_BYTES)]],
    [7, [nonResident(0x80, 0, 16, [run(16, 0)])]],
    [24, [hidden(), name('hiberfil.sys'), nonResident(0x80, 0, 2, [run(2, FILES)])]],
    [25, [hidden(), name('pagefile.sys'), nonResident(0x80, 0, 4, [run(2, FILES + 2), run(2, 2)])]],
    [26, [name('sparse'), nonResident(0x80, 0, 9, [run(2, FILES + 6), Buffer.of(1, 5), run(2, 2)])]],
    [27, [name('small'), resident(0x80, Buffer.from('content'))]],
  ])
  if (isListed) all.set(15, [nonResident(0x80, 40, 16, [run(16, MFT + 40)])])
  const last = isListed ? 16 : 11
  return Buffer.concat(
    Array.from({ length: RECORDS }, (_, i) => {
      const isUsed = i < last || i >= 24
      return isUsed ? record(i, all.get(i) ?? []) : Buffer.alloc(RECORD_INPUT_BYTES)
    }),
  )
}

function record(number: number, attributes: readonly Buffer[]): Buffer {
  const bytes = Buffer.alloc(RECORD_INPUT_BYTES)
  const body = Buffer.concat([...attributes, Buffer.from('ffffffff00000000', 'hex')])
  bytes.write('FILE')
  for (const [at, value] of [
    [4, 48],
    [6, 3],
    [16, 1],
    [18, 1],
    [20, 56],
    [22, 1],
    [24, 56 + body.length],
    [28, RECORD_BYTES],
    [44, number],
    [48, 5],
  ] as const)
    bytes.writeUInt16LE(value, at)
  // The rest of the file table belongs to its first record.
  if (number === 15) bytes.writeUInt16LE(1, 38)
  bytes.set(body, 56)
  return bytes
}

function resident(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(24 + Math.ceil(value.length / 8) * 8)
  bytes.writeUInt32LE(type, 0)
  bytes.writeUInt32LE(bytes.length, 4)
  bytes.writeUInt32LE(value.length, 16)
  bytes.writeUInt16LE(24, 20)
  bytes.set(value, 24)
  return bytes
}

function nonResident(
  type: number,
  first: number,
  clusters: number,
  runs: readonly Uint8Array[],
  dataBytes: number = clusters * CLUSTER,
): Buffer {
  const pairs = Buffer.concat([...runs, Buffer.of(0)])
  const bytes = Buffer.alloc(64 + Math.ceil(pairs.length / 8) * 8)
  bytes.writeUInt32LE(type, 0)
  bytes.writeUInt32LE(bytes.length, 4)
  bytes[8] = 1
  bytes.writeUInt32LE(first, 16)
  bytes.writeUInt32LE(first + clusters - 1, 24)
  bytes.writeUInt16LE(64, 32)
  bytes.writeUInt32LE(Math.max(clusters * CLUSTER, dataBytes), 40)
  bytes.writeUInt32LE(dataBytes, 48)
  bytes.writeUInt32LE(dataBytes, 56)
  bytes.set(pairs, 64)
  return bytes
}

/** A run of less than 128 clusters, as far behind the one before. */
function run(count: number, distance: number): Buffer {
  return Buffer.of(0x11, count, distance)
}

function list(...entries: readonly (readonly [type: number, first: number, record: number])[]): Buffer {
  const bytes = Buffer.alloc(32 * entries.length)
  for (const [i, [type, first, number]] of entries.entries()) {
    bytes.writeUInt32LE(type, 32 * i)
    bytes.writeUInt16LE(32, 32 * i + 4)
    bytes.writeUInt32LE(first, 32 * i + 8)
    bytes.writeUInt32LE(number, 32 * i + 16)
    bytes.writeUInt16LE(1, 32 * i + 22)
  }
  return resident(0x20, bytes)
}

function hidden(): Buffer {
  const value = Buffer.alloc(48)
  value[32] = 6
  return resident(0x10, value)
}

function name(text: string): Buffer {
  const value = Buffer.alloc(66 + 2 * text.length)
  value[0] = 5
  value[64] = text.length
  value.write(text, 66, 'utf16le')
  return resident(0x30, value)
}

export const NTFS_TARGETS: readonly FuzzTarget[] = [ntfs]
