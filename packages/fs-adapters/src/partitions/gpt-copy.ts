import { crc32 } from 'node:zlib'
import { type Decoding, type DiskShape, viewOf } from './decoding.ts'
import { guidText } from './guid.ts'

/** A GPT header (UEFI 2.10, section 5.3.2). Addresses are in sectors. */
export interface GptHeader {
  readonly lba: number
  readonly alternateLba: number
  readonly firstUsableLba: number
  readonly lastUsableLba: number
  readonly diskGuid: string
  readonly entriesLba: number
  readonly entryCount: number
  readonly entryBytes: number
  readonly entriesCrc: number
  /** The header as it stands on the disk, with the fields above. */
  readonly bytes: Uint8Array
}

export interface ValidCopy {
  readonly state: 'valid'
  readonly header: GptHeader
  readonly entries: Uint8Array
}

interface DamagedCopy {
  readonly state: 'damaged'
  /** What is damaged. With `entries` the checksum of the header is right. */
  readonly part: 'header' | 'entries'
  readonly why: string
  /** What the header says, as far as it can be read; only a hint when it is damaged itself. */
  readonly header: GptHeader | undefined
}

/** One copy of a GPT: absent, damaged, or valid with its entries. */
export type GptCopy = { readonly state: 'absent' } | DamagedCopy | ValidCopy

/** Longer arrays of entries are refused, as Linux does: 32768 entries of the usual size. */
export const MAX_ENTRIES_BYTES: number = 4 * 2 ** 20
const MIN_HEADER_BYTES = 92
const SIGNATURE = 0x5452415020494645n // 'EFI PART'
const REVISION = 0x10000

/** Where the fields of a header stand, in bytes. */
export const HEADER_FIELDS = {
  revision: 8,
  headerBytes: 12,
  headerCrc: 16,
  lba: 24,
  alternateLba: 32,
  firstUsableLba: 40,
  lastUsableLba: 48,
  diskGuid: 56,
  entriesLba: 72,
  entryCount: 80,
  entryBytes: 84,
  entriesCrc: 88,
} as const

/** Reads the copy whose header is in sector `lba`, which lies on the disk. */
export function* decodeGptCopy(disk: DiskShape, lba: number): Decoding<GptCopy> {
  const { sectorBytes } = disk
  const sector = yield { offset: lba * sectorBytes, length: sectorBytes }
  if (sector === undefined) return damaged('header', 'its header cannot be read')
  if (viewOf(sector).getBigUint64(0, true) !== SIGNATURE) return { state: 'absent' }
  const headerBytes = viewOf(sector).getUint32(HEADER_FIELDS.headerBytes, true)
  if (headerBytes < MIN_HEADER_BYTES || headerBytes > sector.length)
    return damaged('header', `its header claims ${headerBytes} bytes`)
  // Not slice(): that of a Buffer shares its memory.
  const header = decodeHeader(new Uint8Array(sector.subarray(0, headerBytes)))
  const why = headerFault(header, lba) ?? entriesFault(disk, header)
  if (why !== undefined) return damaged('header', why, header)
  const entries = yield* readEntries(disk, header.entriesLba, header.entryCount * header.entryBytes)
  if (entries === undefined) return damaged('entries', 'its entries cannot be read', header)
  if (crc32(entries) !== header.entriesCrc)
    return damaged('entries', 'the checksum of its entries is wrong', header)
  return { state: 'valid', header, entries }
}

/** The first `length` bytes from sector `lba` on, which lie on the disk. */
export function* readEntries(disk: DiskShape, lba: number, length: number): Decoding<Uint8Array | undefined> {
  const { sectorBytes } = disk
  const bytes = yield { offset: lba * sectorBytes, length: Math.ceil(length / sectorBytes) * sectorBytes }
  return bytes && new Uint8Array(bytes.subarray(0, length))
}

function damaged(part: DamagedCopy['part'], why: string, header?: GptHeader): DamagedCopy {
  return { state: 'damaged', part, why, header }
}

function decodeHeader(bytes: Uint8Array): GptHeader {
  const view = viewOf(bytes)
  return {
    lba: lbaAt(view, HEADER_FIELDS.lba),
    alternateLba: lbaAt(view, HEADER_FIELDS.alternateLba),
    firstUsableLba: lbaAt(view, HEADER_FIELDS.firstUsableLba),
    lastUsableLba: lbaAt(view, HEADER_FIELDS.lastUsableLba),
    diskGuid: guidText(bytes, HEADER_FIELDS.diskGuid),
    entriesLba: lbaAt(view, HEADER_FIELDS.entriesLba),
    entryCount: view.getUint32(HEADER_FIELDS.entryCount, true),
    entryBytes: view.getUint32(HEADER_FIELDS.entryBytes, true),
    entriesCrc: view.getUint32(HEADER_FIELDS.entriesCrc, true),
    bytes,
  }
}

/** A sector address; those beyond 2^53 become infinite, so that every comparison with a disk's end finds them. */
export function lbaAt(view: DataView, at: number): number {
  const lba = view.getBigUint64(at, true)
  return lba > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(lba)
}

function headerFault(header: GptHeader, lba: number): string | undefined {
  const view = viewOf(header.bytes)
  if (headerCrc(header.bytes) !== view.getUint32(HEADER_FIELDS.headerCrc, true))
    return 'the checksum of its header is wrong'
  const revision = view.getUint32(HEADER_FIELDS.revision, true)
  if (revision !== REVISION) return `its revision is unknown: 0x${revision.toString(16)}`
  if (header.lba !== lba) return `its header belongs to sector ${header.lba}`
  return undefined
}

/** The checksum of a header, which is taken with zeros in its own place. */
export function headerCrc(bytes: Uint8Array): number {
  const zeroed = new Uint8Array(bytes)
  zeroed.fill(0, HEADER_FIELDS.headerCrc, HEADER_FIELDS.headerCrc + 4)
  return crc32(zeroed)
}

function entriesFault(disk: DiskShape, header: GptHeader): string | undefined {
  const { entryCount, entryBytes, entriesLba } = header
  if (entryBytes < 128 || !Number.isInteger(Math.log2(entryBytes)))
    return `its entries claim ${entryBytes} bytes each`
  const length = entryCount * entryBytes
  if (length === 0 || length > MAX_ENTRIES_BYTES)
    return `its ${entryCount} entries would take ${length} bytes`
  const end = entriesLba + Math.ceil(length / disk.sectorBytes)
  if (entriesLba < 2 || end > Math.floor(disk.sizeBytes / disk.sectorBytes))
    return `its entries cannot lie at sector ${entriesLba}`
  if (header.firstUsableLba > header.lastUsableLba) return 'its usable range ends before it begins'
  return undefined
}
