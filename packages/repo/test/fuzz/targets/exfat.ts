// exFAT: sectors and clusters of 512 bytes.
import type { FuzzTarget } from '../target.ts'
import { pieces, surveyed } from './filesystems.ts'

const VOLUME_BYTES = 64 * 1024
const SECTOR = 512
const TABLE_AT = 24 * SECTOR
const DATA_AT = 26 * SECTOR
const CLUSTERS = 100
const END = 0xffffffff

/** Lengths of the parts of an input, behind a byte of bits. */
const BOOT_BYTES = 120
const TABLE_BYTES = 64
const DATA_BYTES = 10 * SECTOR

const WRONG_CHECKSUMS = 1
const BITMAP = 2
const UPCASE = 3
const ROOT = 4
const FOLDER = 6

const disk = Buffer.alloc(VOLUME_BYTES)

const exfat: FuzzTarget = {
  name: 'exfat',
  form: 'bytes',
  seeds: [seed(0), seed(WRONG_CHECKSUMS), withVolumeFlags(2), withVolumeFlags(4)],
  codes: [],
  async run(input) {
    const next = pieces(input)
    disk.fill(0)
    const bits = next(1)[0] ?? 0
    disk.set(next(BOOT_BYTES), 0)
    disk.writeUInt16LE(0xaa55, 510)
    disk.copy(disk, 12 * SECTOR, 0, SECTOR)
    disk.set(next(TABLE_BYTES), TABLE_AT)
    disk.set(next(DATA_BYTES), DATA_AT)
    if (!(bits & WRONG_CHECKSUMS)) seal()
    return surveyed(disk, [[0, Math.min(DATA_AT, disk.readUInt32LE(88) * SECTOR)]])
  },
}

function seal(): void {
  for (let at = DATA_AT; at < DATA_AT + DATA_BYTES; at += 32) {
    if (disk[at] === 0x85)
      disk.writeUInt16LE(sum(disk.subarray(at, at + 32 * (1 + disk[at + 1]!)), 16, [2, 3]), at + 2)
    if (disk[at] !== 0x82) continue
    const from = DATA_AT + (disk.readUInt32LE(at + 20) - 2) * SECTOR
    const length = Math.min(disk.readUInt32LE(at + 24), VOLUME_BYTES)
    if (from >= 0) disk.writeUInt32LE(sum(disk.subarray(from, from + length), 32, []), at + 4)
  }
  for (const region of [0, 12 * SECTOR]) {
    const checksum = sum(disk.subarray(region, region + 11 * SECTOR), 32, [106, 107, 112])
    for (let i = 0; i < SECTOR; i += 4) disk.writeUInt32LE(checksum, region + 11 * SECTOR + i)
  }
}

/** Rotated to the right by one bit for each byte. */
function sum(bytes: Uint8Array, width: 16 | 32, skipped: readonly number[]): number {
  const last = Math.max(...skipped, 0)
  let value = 0
  for (let i = 0; i < bytes.length; i++) {
    if (i <= last && skipped.includes(i)) continue
    value = ((value << (width - 1)) | (value >>> 1)) + bytes[i]!
    value = width === 16 ? value & 0xffff : value >>> 0
  }
  return value
}

function seed(bits: number): Uint8Array {
  const boot = Buffer.alloc(BOOT_BYTES)
  boot.write('\xeb\x76\x90EXFAT   ', 'latin1')
  const fields: [at: number, value: number][] = [
    [72, DATA_AT / SECTOR + CLUSTERS],
    [80, TABLE_AT / SECTOR],
    [84, 2],
    [88, DATA_AT / SECTOR],
    [92, CLUSTERS],
    [96, ROOT],
  ]
  for (const [at, value] of fields) boot.writeUInt32LE(value, at)
  boot.writeUInt16LE(0x100, 104)
  boot.set([9, 0, 1, 0x80, 9], 108)
  const table = Buffer.alloc(TABLE_BYTES)
  for (const [i, value] of [0xfffffff8, END, END, END, 5, END, END, 9, 0, 8, 7].entries())
    table.writeUInt32LE(value, i * 4)
  table.writeUInt32LE(END, 8 * 4)
  const data = Buffer.alloc(DATA_BYTES)
  // Clusters 2 to 11: the bitmap, letters, the root in two, a folder, a chain of 7, 9, 8, and two side by side.
  data.set([0xff, 0x03], 0)
  data.write('letters', SECTOR)
  const entries = Buffer.concat([
    system(0x83, 0, 0),
    system(0x81, BITMAP, Math.ceil(CLUSTERS / 8)),
    system(0x82, UPCASE, 100),
    file(0x10, FOLDER, SECTOR, 1),
    file(0x20, 7, 1200, 1),
    file(0x20, 0, 0, 1),
  ])
  data.set(entries, (ROOT - 2) * SECTOR)
  data.set(file(0x20, 10, 700, 3), (FOLDER - 2) * SECTOR)
  return Buffer.concat([Buffer.of(bits), boot, table, data])
}

function withVolumeFlags(flags: number): Uint8Array {
  const input = seed(0)
  input[1 + 106] = flags
  return input
}

function system(kind: number, cluster: number, length: number): Buffer {
  const entry = Buffer.alloc(32)
  entry[0] = kind
  entry.writeUInt32LE(cluster, 20)
  entry.writeUInt32LE(length, 24)
  return entry
}

function file(attributes: number, cluster: number, length: number, flags: number): Buffer {
  const head = Buffer.alloc(32)
  head.set([0x85, 2, 0, 0, attributes])
  const stream = system(0xc0, cluster, length)
  stream.set([flags, 0, 3], 1)
  const name = Buffer.alloc(32)
  name[0] = 0xc1
  name.write('abc', 2, 'utf16le')
  return Buffer.concat([head, stream, name])
}

export const EXFAT_TARGETS: readonly FuzzTarget[] = [exfat]
