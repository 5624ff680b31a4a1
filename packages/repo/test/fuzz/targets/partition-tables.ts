// Partition tables: a small disk made of what the input says, its checksums right or not.
import { crc32 } from 'node:zlib'
import { MemorySource } from '@platter/fs-adapters'
import {
  type PartitionTable,
  type PartitionTableChanges,
  readPartitionTable,
  rewritePartitionTable,
} from '@platter/fs-adapters/partitions'
import { type FuzzTarget, sound } from '../target.ts'

const DISK_BYTES = 256 * 1024
const HEADER_BYTES = 96
const ENTRIES_AT = 1
const MBR_BYTES = 64
const ENTRIES_BYTES = 512
/** One EBR: the sector it is put in, and its first two entries. */
const EBR_BYTES = 33

/** Bits of the first byte. */
const LONG_SECTORS = 1
const IS_DEVICE = 2
const WRONG_CHECKSUMS = 4
const TRUST_BACKUP = 8
const UNSIGNED = 16

const disk = Buffer.alloc(DISK_BYTES)

/**
 * Input: a byte of bits, the entries of the MBR, both headers, the entries of both copies, changes to make, and EBRs. What
 * is missing is zeros.
 */
const partitionTable: FuzzTarget = {
  name: 'partition-table',
  form: 'bytes',
  seeds: seeds(),
  codes: ['ERR_PARTITION_TABLE', 'ERR_TARGET_TOO_SMALL', 'ERR_INVALID_ARGUMENT'],
  async run(input) {
    const bits = input[0] ?? 0
    const sectorBytes = bits & LONG_SECTORS ? 4096 : 512
    const changes = layOut(input, sectorBytes, bits)
    const options = {
      trustBackup: (bits & TRUST_BACKUP) !== 0,
      ...(bits & IS_DEVICE && { sectorBytes }),
    }
    const table = await readPartitionTable(new MemorySource(disk), options)
    assertSound(table, DISK_BYTES)
    if (!table.isTrustworthy) return `${table.kind}, doubtful`
    const { writes, table: moved } = rewritePartitionTable(table, changesFrom(changes, table))
    assertSound(moved, moved.sizeBytes)
    sound(moved.isTrustworthy && moved.partitions.length === table.partitions.length, 'a table is lost')
    for (const { offset, bytes } of writes)
      sound(offset >= 0 && offset + bytes.length <= moved.sizeBytes, 'a write leaves the disk')
    return table.kind
  },
}

function assertSound(table: PartitionTable, sizeBytes: number): void {
  const { isTrustworthy, partitions, areas, problems } = table
  sound(problems.length <= 600, 'problems without end')
  let end = 0
  for (const { offset, length } of areas) {
    sound(offset >= end && length > 0 && offset + length <= sizeBytes, 'areas are not in order')
    end = offset + length
  }
  if (!isTrustworthy) return
  const leaves = partitions.filter(({ kind }) => kind !== 'extended')
  end = 0
  for (const { offset, length } of leaves.sort((a, b) => a.offset - b.offset)) {
    sound(offset >= end && length > 0 && offset + length <= sizeBytes, 'partitions are not in order')
    end = offset + length
  }
}

/** Puts an input on the disk, and gives back the bytes that say what to change. */
function layOut(input: Uint8Array, sectorBytes: number, bits: number): Uint8Array {
  disk.fill(0)
  let at = ENTRIES_AT
  const next = (length: number): Uint8Array => {
    const bytes = input.subarray(at, at + length)
    at += length
    return bytes
  }
  const isSealed = (bits & WRONG_CHECKSUMS) === 0
  disk.set(next(MBR_BYTES), 446)
  if (!(bits & UNSIGNED)) disk.writeUInt16LE(0xaa55, 510)
  const headers = [next(HEADER_BYTES), next(HEADER_BYTES)]
  const arrays = [next(ENTRIES_BYTES), next(ENTRIES_BYTES)]
  const lastLba = DISK_BYTES / sectorBytes - 1
  for (const [i, bytes] of arrays.entries()) {
    const lba = i === 0 ? 2 : lastLba - ENTRIES_BYTES / Math.min(sectorBytes, ENTRIES_BYTES)
    disk.set(bytes, lba * sectorBytes)
  }
  for (const [i, bytes] of headers.entries())
    putHeader(bytes, (i === 0 ? 1 : lastLba) * sectorBytes, sectorBytes, isSealed)
  const changes = next(8)
  for (let ebr = next(EBR_BYTES); ebr.length > 0; ebr = next(EBR_BYTES)) {
    const sector = ((ebr[0] ?? 0) % (lastLba + 1)) * sectorBytes
    disk.set(ebr.subarray(1), sector + 446)
    disk.writeUInt16LE(0xaa55, sector + 510)
  }
  return changes
}

function putHeader(bytes: Uint8Array, at: number, sectorBytes: number, isSealed: boolean): void {
  disk.set(bytes, at)
  if (!isSealed || bytes.length < HEADER_BYTES) return
  const header = disk.subarray(at, at + Math.min(sectorBytes, Math.max(92, disk.readUInt32LE(at + 12))))
  const entriesAt = Number(header.readBigUInt64LE(72)) * sectorBytes
  const length = header.readUInt32LE(80) * header.readUInt32LE(84)
  if (entriesAt + length <= DISK_BYTES)
    header.writeUInt32LE(crc32(disk.subarray(entriesAt, entriesAt + length)), 88)
  header.writeUInt32LE(0, 16)
  header.writeUInt32LE(crc32(header), 16)
}

/** Eight bytes: what to change, a size in KiB, a partition, and what to subtract from the size in bytes. */
function changesFrom(bytes: Uint8Array, { sizeBytes, partitions }: PartitionTable): PartitionTableChanges {
  const [what = 0, low = 0, middle = 0, high = 0, index = 0, less = 0] = bytes
  const size = (low + 256 * middle + 65_536 * high) * 1024 - less
  const grow = partitions[index]?.number
  return {
    sizeBytes: what & 1 ? size : sizeBytes,
    ...(what & 2 && { sectorBytes: what & 4 ? 4096 : 512 }),
    ...(what & 8 && grow !== undefined && { grow }),
    newIdentity: (what & 16) !== 0,
    random: (length) => new Uint8Array(length).fill(7),
  }
}

function seeds(): Uint8Array[] {
  const changes = Buffer.from('1b00040000000000', 'hex')
  const logical = [
    Buffer.concat([Buffer.of(64), entry(0x83, 1, 20), entry(5, 64, 32)]),
    Buffer.concat([Buffer.of(128), entry(0x83, 1, 20), entry(0, 0, 0)]),
  ]
  const plain = Buffer.concat([
    entry(0x83, 8, 40),
    entry(5, 64, 400),
    Buffer.alloc(32 + 2 * (HEADER_BYTES + ENTRIES_BYTES)),
  ])
  const hybrid = [entry(0xee, 1, 39), entry(0x83, 40, 10), Buffer.alloc(32)]
  return [
    ...[0, LONG_SECTORS, IS_DEVICE, LONG_SECTORS | IS_DEVICE, TRUST_BACKUP, WRONG_CHECKSUMS].map((bits) =>
      gpt(bits, [entry(0xee, 1, 511), Buffer.alloc(48)], changes),
    ),
    gpt(0, hybrid, changes),
    Buffer.concat([Buffer.of(IS_DEVICE), plain, changes, ...logical]),
    Buffer.concat([Buffer.of(0), plain, changes, ...logical]),
    Buffer.of(UNSIGNED),
  ]
}

function gpt(bits: number, mbr: readonly Uint8Array[], changes: Uint8Array): Uint8Array {
  const lastLba = DISK_BYTES / (bits & LONG_SECTORS ? 4096 : 512) - 1
  const entries = Buffer.alloc(ENTRIES_BYTES)
  for (const [i, [first, last]] of [
    [40, 49],
    [50, 50],
  ].entries()) {
    entries.fill(0x11 + i, 128 * i, 128 * i + 32)
    entries.writeBigUInt64LE(BigInt(first!), 128 * i + 32)
    entries.writeBigUInt64LE(BigInt(last!), 128 * i + 40)
  }
  const headers = [header(1, lastLba, 2, lastLba), header(lastLba, 1, lastLba - 1, lastLba)]
  return Buffer.concat([Buffer.of(bits), ...mbr, ...headers, entries, entries, changes])
}

function header(lba: number, alternateLba: number, entriesLba: number, lastLba: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.write('EFI PART', 'latin1')
  bytes.writeUInt32LE(0x10000, 8)
  bytes.writeUInt32LE(92, 12)
  for (const [i, value] of [lba, alternateLba, 3, lastLba - 2].entries())
    bytes.writeBigUInt64LE(BigInt(value), 24 + 8 * i)
  bytes.fill(0x99, 56, 72)
  bytes.writeBigUInt64LE(BigInt(entriesLba), 72)
  bytes.writeUInt32LE(4, 80)
  bytes.writeUInt32LE(128, 84)
  return bytes
}

function entry(type: number, start: number, sectors: number): Buffer {
  const bytes = Buffer.alloc(16)
  bytes[4] = type
  bytes.writeUInt32LE(start, 8)
  bytes.writeUInt32LE(sectors, 12)
  return bytes
}

export const PARTITION_TABLE_TARGETS: readonly FuzzTarget[] = [partitionTable]
