// Partition tables made by hand, with no code of the product, so that the two can be compared.
import { crc32 } from 'node:zlib'
import { SparseDisk } from './sparse-disk.ts'

export const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4'
export const DISK_GUID = '01234567-89ab-4def-8123-456789abcdef'

export interface MadePartition {
  readonly number: number
  readonly type?: string
  readonly guid?: string
  readonly first: number
  readonly last: number
  readonly attributes?: bigint
  readonly name?: string
}

export interface MadeGpt {
  readonly sectorBytes?: number
  readonly sizeBytes: number
  readonly partitions?: readonly MadePartition[]
  readonly diskGuid?: string
  readonly entryCount?: number
  readonly entryBytes?: number
  readonly entriesLba?: number
  readonly firstUsable?: number
  readonly lastUsable?: number
  /** Where the backup goes. Default: the last sector. */
  readonly alternate?: number
  readonly headerBytes?: number
  /** Entries of the MBR. Default: one protective entry. */
  readonly mbr?: readonly MadeMbrEntry[]
  /** Default: both. */
  readonly copies?: readonly ('primary' | 'backup')[]
}

export interface MadeMbrEntry {
  readonly type: number
  readonly start: number
  readonly sectors: number
  readonly indicator?: number
}

export function partUuid(number: number): string {
  return `aaaaaaaa-bbbb-4ccc-8ddd-${number.toString(16).padStart(12, '0')}`
}

export function guidBytes(text: string): Buffer {
  const hex = Buffer.from(text.replaceAll('-', ''), 'hex')
  hex.subarray(0, 4).reverse()
  hex.subarray(4, 6).reverse()
  hex.subarray(6, 8).reverse()
  return hex
}

export function madeGpt(gpt: MadeGpt): SparseDisk {
  const { sectorBytes = 512, sizeBytes, copies = ['primary', 'backup'] } = gpt
  const lastLba = Math.floor(sizeBytes / sectorBytes) - 1
  const disk = new SparseDisk(sizeBytes)
  const { alternate = lastLba, entriesLba = 2 } = gpt
  const entries = entriesOf(gpt)
  const sectors = Math.ceil(entries.length / sectorBytes)
  const place = {
    firstUsable: gpt.firstUsable ?? entriesLba + sectors,
    lastUsable: gpt.lastUsable ?? alternate - sectors - 1,
  }
  const mbr = gpt.mbr ?? [{ type: 0xee, start: 1, sectors: Math.min(lastLba, 0xffffffff) }]
  disk.write(0, mbrBytes(mbr, 0))
  if (copies.includes('primary')) {
    disk.write(sectorBytes, headerOf(gpt, entries, { ...place, lba: 1, alternate, entriesLba }))
    disk.write(entriesLba * sectorBytes, entries)
  }
  if (copies.includes('backup')) {
    const at = { ...place, lba: alternate, alternate: 1, entriesLba: alternate - sectors }
    disk.write(alternate * sectorBytes, headerOf(gpt, entries, at))
    disk.write(at.entriesLba * sectorBytes, entries)
  }
  return disk
}

function entriesOf({ entryCount = 128, entryBytes = 128, partitions = [] }: MadeGpt): Buffer {
  const entries = Buffer.alloc(entryCount * entryBytes)
  for (const {
    number,
    type = LINUX,
    guid = partUuid(number),
    first,
    last,
    attributes = 0n,
    name = '',
  } of partitions) {
    const at = (number - 1) * entryBytes
    guidBytes(type).copy(entries, at)
    guidBytes(guid).copy(entries, at + 16)
    entries.writeBigUInt64LE(BigInt(first), at + 32)
    entries.writeBigUInt64LE(BigInt(last), at + 40)
    entries.writeBigUInt64LE(attributes, at + 48)
    entries.write(name, at + 56, 72, 'utf16le')
  }
  return entries
}

function headerOf(
  { diskGuid = DISK_GUID, entryCount = 128, entryBytes = 128, headerBytes = 92 }: MadeGpt,
  entries: Buffer,
  at: {
    readonly lba: number
    readonly alternate: number
    readonly firstUsable: number
    readonly lastUsable: number
    readonly entriesLba: number
  },
): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.write('EFI PART', 0, 'latin1')
  header.writeUInt32LE(0x10000, 8)
  header.writeUInt32LE(headerBytes, 12)
  header.writeBigUInt64LE(BigInt(at.lba), 24)
  header.writeBigUInt64LE(BigInt(at.alternate), 32)
  header.writeBigUInt64LE(BigInt(at.firstUsable), 40)
  header.writeBigUInt64LE(BigInt(at.lastUsable), 48)
  guidBytes(diskGuid).copy(header, 56)
  header.writeBigUInt64LE(BigInt(at.entriesLba), 72)
  header.writeUInt32LE(entryCount, 80)
  header.writeUInt32LE(entryBytes, 84)
  header.writeUInt32LE(crc32(entries), 88)
  return resealed(header)
}

/** A header with the checksum that it should have. */
export function resealed(header: Buffer): Buffer {
  header.writeUInt32LE(0, 16)
  header.writeUInt32LE(crc32(header), 16)
  return header
}

export const SIGNATURE = 0x1234abcd

/** The 512 bytes of an MBR or EBR. */
export function mbrBytes(entries: readonly (MadeMbrEntry | undefined)[], signature = SIGNATURE): Buffer {
  const bytes = Buffer.alloc(512)
  bytes.writeUInt32LE(signature, 440)
  for (const [i, entry] of entries.entries()) {
    if (entry === undefined) continue
    const at = 446 + 16 * i
    bytes[at] = entry.indicator ?? 0
    bytes[at + 4] = entry.type
    bytes.writeUInt32LE(entry.start, at + 8)
    bytes.writeUInt32LE(entry.sectors, at + 12)
  }
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}

export interface MadeMbr {
  readonly sectorBytes?: number
  readonly sizeBytes: number
  readonly entries: readonly (MadeMbrEntry | undefined)[]
  /** Logical partitions in the order of the chain; each has its EBR `gap` sectors before it. */
  readonly logicals?: readonly { readonly type?: number; readonly start: number; readonly sectors: number }[]
  readonly gap?: number
}

/** A disk with an MBR; the chain of logical partitions begins where the first extended entry does. */
export function madeMbr({
  sectorBytes = 512,
  sizeBytes,
  entries,
  logicals = [],
  gap = 1,
}: MadeMbr): SparseDisk {
  const disk = new SparseDisk(sizeBytes).write(0, mbrBytes(entries))
  const box = entries.find((entry) => entry && [5, 15, 0x85].includes(entry.type))
  const base = box?.start ?? 0
  if (box !== undefined) disk.write(base * sectorBytes, mbrBytes([], 0))
  const ebrOf = (i: number): number => (i === 0 ? base : logicals[i]!.start - gap)
  for (const [i, { type = 0x83, start, sectors }] of logicals.entries()) {
    const next = logicals[i + 1]
    const link = next && { type: 5, start: ebrOf(i + 1) - base, sectors: next.sectors + gap }
    disk.write(ebrOf(i) * sectorBytes, mbrBytes([{ type, start: start - ebrOf(i), sectors }, link], 0))
  }
  return disk
}
