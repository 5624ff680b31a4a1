import { crc32 } from 'node:zlib'

export const SECTOR_BYTES = 512

/** Sectors at either end of a disk that the partition table needs for itself. */
export const GPT_HEAD_SECTORS = 34
export const GPT_TAIL_SECTORS = 33

/** GUIDs that say what a partition holds (UEFI specification, section 5.3.3). */
export const PARTITION_TYPE = Object.freeze({
  efiSystem: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  linuxFilesystem: '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
})

export interface Partition {
  readonly type: string
  readonly id: string
  readonly name: string
  readonly firstSector: number
  readonly sectorCount: number
}

/** The bytes to write at the start and at the end of a disk. */
export interface PartitionTable {
  readonly head: Uint8Array
  readonly tail: Uint8Array
}

/** Encodes a GUID partition table: protective MBR, both headers, both entry arrays. */
export function encodePartitionTable(
  diskSectors: number,
  diskId: string,
  partitions: readonly Partition[],
): PartitionTable {
  const entries = encodeEntries(partitions)
  const last = diskSectors - 1
  const head = Buffer.alloc(GPT_HEAD_SECTORS * SECTOR_BYTES)
  head.set(protectiveMbr(diskSectors), 0)
  head.set(header({ diskSectors, diskId, entries, at: 1, other: last, entriesAt: 2 }), SECTOR_BYTES)
  head.set(entries, 2 * SECTOR_BYTES)

  const tail = Buffer.alloc(GPT_TAIL_SECTORS * SECTOR_BYTES)
  const entriesAt = diskSectors - GPT_TAIL_SECTORS
  tail.set(entries, 0)
  tail.set(header({ diskSectors, diskId, entries, at: last, other: 1, entriesAt }), entries.length)
  return { head, tail }
}

const ENTRY_BYTES = 128
const ENTRY_COUNT = 128
const HEADER_BYTES = 92

interface HeaderFields {
  readonly diskSectors: number
  readonly diskId: string
  readonly entries: Uint8Array
  readonly at: number
  readonly other: number
  readonly entriesAt: number
}

function protectiveMbr(diskSectors: number): Uint8Array {
  const mbr = Buffer.alloc(SECTOR_BYTES)
  const entry = mbr.subarray(446, 462)
  entry.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff])
  entry.writeUInt32LE(1, 8)
  entry.writeUInt32LE(Math.min(diskSectors - 1, 0xffffffff), 12)
  mbr.set([0x55, 0xaa], 510)
  return mbr
}

function header(fields: HeaderFields): Uint8Array {
  const sector = Buffer.alloc(SECTOR_BYTES)
  sector.write('EFI PART', 0, 'latin1')
  sector.writeUInt32LE(0x00010000, 8)
  sector.writeUInt32LE(HEADER_BYTES, 12)
  sector.writeBigUInt64LE(BigInt(fields.at), 24)
  sector.writeBigUInt64LE(BigInt(fields.other), 32)
  sector.writeBigUInt64LE(BigInt(GPT_HEAD_SECTORS), 40)
  sector.writeBigUInt64LE(BigInt(fields.diskSectors - GPT_TAIL_SECTORS - 1), 48)
  sector.set(encodeGuid(fields.diskId), 56)
  sector.writeBigUInt64LE(BigInt(fields.entriesAt), 72)
  sector.writeUInt32LE(ENTRY_COUNT, 80)
  sector.writeUInt32LE(ENTRY_BYTES, 84)
  sector.writeUInt32LE(crc32(fields.entries), 88)
  sector.writeUInt32LE(crc32(sector.subarray(0, HEADER_BYTES)), 16)
  return sector
}

function encodeEntries(partitions: readonly Partition[]): Uint8Array {
  const entries = Buffer.alloc(ENTRY_COUNT * ENTRY_BYTES)
  for (const [index, partition] of partitions.entries()) {
    const entry = entries.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES)
    entry.set(encodeGuid(partition.type), 0)
    entry.set(encodeGuid(partition.id), 16)
    entry.writeBigUInt64LE(BigInt(partition.firstSector), 32)
    entry.writeBigUInt64LE(BigInt(partition.firstSector + partition.sectorCount - 1), 40)
    entry.write(partition.name, 56, 'utf16le')
  }
  return entries
}

/** The first three fields of a GUID are stored little-endian, the others as written. */
function encodeGuid(guid: string): Uint8Array {
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}
