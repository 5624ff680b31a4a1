// XFS: a tiny one made of what the input says, its checksums right or not.
import { type FilesystemMap, probeFilesystem } from '@platter/fs-adapters'
import { finishedCrc32c } from '../../../../fs-adapters/dist/filesystems/common/crc32c.js'
import { type FuzzTarget, sound } from '../target.ts'

const BLOCK = 1024
const GROUP_BLOCKS = 64
const GROUPS = 2
const VOLUME_BYTES = GROUPS * GROUP_BLOCKS * BLOCK
const LOG_BLOCK = 40
const LOG_BLOCKS = 16
const LOG_AT = (GROUP_BLOCKS + LOG_BLOCK) * BLOCK
const UUID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const NONE = 0xffffffff

/** Bits of the first byte. */
const WRONG_CHECKSUMS = 1

/** What of the volume inputs change. */
const SLOTS: readonly (readonly [at: number, length: number])[] = [
  [0, 264],
  ...[0, 1].flatMap((group) =>
    [
      [512, 220],
      [1024, 340],
      [1536, 64],
      ...[2, 3, 10, 11, 12, 13].map((block) => [block * BLOCK, 120] as const),
      // Pointers, where they begin without and with checksums.
      ...[2, 3].map((block) => [block * BLOCK + 688, 16] as const),
    ].map(([at, length]) => [group * GROUP_BLOCKS * BLOCK + at!, length!] as const),
  ),
  [GROUP_BLOCKS * BLOCK, 128],
  // Rounds of all blocks of the log, and a record with its data.
  ...Array.from({ length: LOG_BLOCKS * 2 }, (_, i) => [LOG_AT + 512 * i, 8] as const),
  ...[2, 3, 30, 31, 0].map((i) => [LOG_AT + 512 * i, 328] as const),
]

/** Free runs of a group. */
const RUNS: readonly (readonly [start: number, count: number])[] = [
  [16, 4],
  [22, 1],
  [30, 9],
  [58, 6],
]
const FREE = 20

const SLOT_BYTES = SLOTS.reduce((sum, [, length]) => sum + length, 0)

/** Place of the checksum and length of each structure that has one, by its mark. */
const SEALED: Readonly<Record<string, readonly [at: number, length: number]>> = {
  XFSB: [224, 512],
  XAGF: [216, 512],
  XAGI: [312, 512],
  XAFL: [32, 512],
  AB3B: [52, BLOCK],
  AB3C: [52, BLOCK],
}

const disk = Buffer.alloc(VOLUME_BYTES)

/** Sound ones, of which an input names one: of both versions, with the log ending in three places. */
const IMAGES: readonly Uint8Array[] = [false, true].flatMap((hasChecksums) =>
  [4, 1, 0].map((head) => image(hasChecksums, head)),
)

/** A change: a place in the slots, a length of up to four bytes, and these. */
const CHANGE_BYTES = 7

/** Input: a byte of bits, a byte that names an image, and changes. */
const xfs: FuzzTarget = {
  name: 'xfs',
  form: 'bytes',
  seeds: IMAGES.flatMap((_, i) => [
    Buffer.of(0, i),
    Buffer.of(WRONG_CHECKSUMS, i, 3, 0, 1, 0, 0, 0, 0),
    Buffer.of(0, i, 10, 3, 4, 0, 0, 0, 1, 20, 1, 2, 0xff, 0xff, 0, 0),
  ]),
  codes: [],
  async run(input) {
    layOut(input)
    const map = await probeFilesystem({
      sizeBytes: VOLUME_BYTES,
      read: async (offset, into) => disk.copy(into, 0, offset, offset + into.length),
    })
    assertSound(map)
    return map.problem?.code ?? map.state
  },
}

function layOut(input: Uint8Array): void {
  disk.set(IMAGES[(input[1] ?? 0) % IMAGES.length]!)
  for (let at = 2; at + CHANGE_BYTES <= input.length; at += CHANGE_BYTES) {
    const place = placeOf((input[at]! + 256 * input[at + 1]!) % SLOT_BYTES)
    const length = 1 + (input[at + 2]! & 3)
    disk.set(input.subarray(at + 3, at + 3 + length), Math.min(place, VOLUME_BYTES - length))
  }
  if (((input[0] ?? 0) & WRONG_CHECKSUMS) === 0) seal()
}

/** The byte of the volume that is one of the slots. */
function placeOf(index: number): number {
  let rest = index
  for (const [at, length] of SLOTS) {
    if (rest < length) return at + rest
    rest -= length
  }
  return 0
}

function seal(): void {
  for (let at = 0; at < disk.length; at += 512) {
    const [place, length] = SEALED[disk.toString('latin1', at, at + 4)] ?? []
    if (place === undefined || length === undefined) continue
    disk.writeUInt32LE(0, at + place)
    disk.writeUInt32LE(finishedCrc32c(disk.subarray(at, at + length)), at + place)
  }
}

/** No header of a group is left out, and nothing of the log. */
function assertSound(map: FilesystemMap): void {
  let end = 0
  const blockBytes = disk.readUInt32BE(4)
  const groupBytes = disk.readUInt32BE(84) * blockBytes
  for (const { offset, length, use } of map.extents()) {
    sound(offset === end && length > 0, 'extents do not cover the volume')
    end = offset + length
    if (use === 'used') continue
    const intoGroup = offset % groupBytes
    sound(intoGroup >= 2048 && intoGroup + length <= groupBytes, 'a header is left out')
    const start = Number(disk.readBigUInt64BE(48))
    const bits = disk.readUInt8(124)
    const log = Math.floor(start / 2 ** bits) * groupBytes + (start % 2 ** bits) * blockBytes
    sound(end <= log || offset >= log + disk.readUInt32BE(96) * blockBytes, 'the log is left out')
  }
  sound(end === VOLUME_BYTES, 'extents do not cover the volume')
}

/** A sound filesystem. */
function image(hasChecksums: boolean, logHead: number): Uint8Array {
  disk.fill(0)
  for (let group = 0; group < GROUPS; group++) putGroup(group, hasChecksums)
  putLog(logHead)
  return new Uint8Array(disk)
}

function putSuperblock(at: number, hasChecksums: boolean): void {
  const d = disk.subarray(at, at + 512)
  d.write('XFSB', 'latin1')
  d.writeUInt32BE(BLOCK, 4)
  d.writeBigUInt64BE(BigInt(GROUPS * GROUP_BLOCKS), 8)
  UUID.copy(d, 32)
  d.writeBigUInt64BE(BigInt(GROUP_BLOCKS + LOG_BLOCK), 48)
  d.writeBigUInt64BE(9n * 4n, 56)
  const numbers = [GROUP_BLOCKS, GROUPS, 0, LOG_BLOCKS]
  for (const [i, number] of numbers.entries()) d.writeUInt32BE(number, 84 + 4 * i)
  d.writeUInt16BE(0xb4a0 | (hasChecksums ? 5 : 4), 100)
  for (const [i, number] of [512, 256, 4].entries()) d.writeUInt16BE(number, 102 + 2 * i)
  Buffer.of(10, 9, 8, 2, 6).copy(d, 120)
  d.writeBigUInt64BE(128n, 128)
  d.writeBigUInt64BE(100n, 136)
  // Free ones, four in reserve, and four leaves, in both groups.
  d.writeBigUInt64BE(BigInt(GROUPS * (FREE + 4 + 4)), 144)
  const further = hasChecksums ? 0x18a : 0x8a
  d.writeUInt32BE(further, 200)
  d.writeUInt32BE(further, 204)
  if (hasChecksums) d.writeUInt32BE(3, 216)
}

function putGroup(group: number, hasChecksums: boolean): void {
  const base = group * GROUP_BLOCKS * BLOCK
  putSuperblock(base, hasChecksums)
  const space = disk.subarray(base + 512, base + 1024)
  space.write('XAGF', 'latin1')
  const levels = [2, 2, 0]
  const numbers = [1, group, GROUP_BLOCKS, 2, 3, 0, ...levels, 0, 3, 4, FREE, 9, 4]
  for (const [i, number] of numbers.entries()) space.writeUInt32BE(number, 4 + 4 * i)
  UUID.copy(space, 64)
  const inodes = disk.subarray(base + 1024, base + 1536)
  inodes.write('XAGI', 'latin1')
  const counts = [1, group, GROUP_BLOCKS, 64, 4, 1, 50, 0, 0]
  for (const [i, number] of counts.entries()) inodes.writeUInt32BE(number, 4 + 4 * i)
  inodes.fill(0xff, 40, 296)
  UUID.copy(inodes, 296)
  const reserve = disk.subarray(base + 1536, base + 2048)
  if (hasChecksums) {
    reserve.write('XAFL', 'latin1')
    reserve.writeUInt32BE(group, 4)
    UUID.copy(reserve, 8)
  }
  for (let i = 0; i < 4; i++) reserve.writeUInt32BE(5 + i, (hasChecksums ? 36 : 0) + 4 * i)
  const bySize = [...RUNS].sort(([a, i], [b, j]) => i - j || a - b)
  putTree(group, hasChecksums, { mark: 'B', root: 2, leaves: [10, 11] }, RUNS)
  putTree(group, hasChecksums, { mark: 'C', root: 3, leaves: [12, 13] }, bySize)
}

function putTree(
  group: number,
  hasChecksums: boolean,
  { mark, root, leaves }: { mark: string; root: number; leaves: readonly [number, number] },
  runs: typeof RUNS,
): void {
  const magic = `AB${hasChecksums ? '3' : 'T'}${mark}`
  const headerBytes = hasChecksums ? 56 : 16
  const put = (
    block: number,
    level: number,
    [left, right]: readonly [number, number],
    records: typeof RUNS,
  ) => {
    const at = (group * GROUP_BLOCKS + block) * BLOCK
    const node = disk.subarray(at, at + BLOCK)
    node.write(magic, 'latin1')
    node.writeUInt16BE(level, 4)
    node.writeUInt16BE(records.length, 6)
    node.writeUInt32BE(left, 8)
    node.writeUInt32BE(right, 12)
    if (hasChecksums) {
      node.writeBigUInt64BE(BigInt(at / 512), 16)
      UUID.copy(node, 32)
      node.writeUInt32BE(group, 48)
    }
    for (const [i, record] of records.entries())
      for (const [k, number] of record.entries()) node.writeUInt32BE(number, headerBytes + 8 * i + 4 * k)
    return node
  }
  const [first, second] = leaves
  put(first, 0, [NONE, second], runs.slice(0, 2))
  put(second, 0, [first, NONE], runs.slice(2))
  const node = put(root, 1, [NONE, NONE], [runs[0]!, runs[2]!])
  const capacity = Math.floor((BLOCK - headerBytes) / 12)
  for (const [i, leaf] of leaves.entries()) node.writeUInt32BE(leaf, headerBytes + 8 * capacity + 4 * i)
}

/** An unmount record that ends at `head`. */
function putLog(head: number): void {
  const count = LOG_BLOCKS * 2
  const roundOf = (block: number) => (block < head ? 2 : 1)
  for (let block = 0; block < count; block++) disk.writeUInt32BE(roundOf(block), LOG_AT + 512 * block)
  const start = (head - 2 + count) % count
  const record = disk.subarray(LOG_AT + 512 * start)
  record.writeUInt32BE(0xfeedbabe, 0)
  const numbers = [roundOf(start), 2, 512, roundOf(start), start, 1, 0, 0, 0, 1]
  for (const [i, number] of numbers.entries()) record.writeUInt32BE(number, 4 + 4 * i)
  UUID.copy(record, 304)
  record.writeUInt32BE(32768, 320)
  const data = disk.subarray(LOG_AT + 512 * ((start + 1) % count))
  data.writeUInt32BE(8, 4)
  Buffer.of(0xaa, 0x20, 0, 0, 0x6e, 0x55).copy(data, 8)
}

export const XFS_TARGETS: readonly FuzzTarget[] = [xfs]
