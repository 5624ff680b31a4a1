import { viewOf } from './decoding.ts'
import { encodeEntries, encodeHeaders, type GptGeometry } from './encode-gpt.ts'
import { HEADER_FIELDS, lbaAt } from './gpt-copy.ts'
import { decodeMbrSector, PROTECTIVE_TYPE, SIGNATURE_AT, setProtectiveSize } from './mbr-sector.ts'
import { endOf, type GptTable } from './partition-table.ts'
import type { DiskWrite, ResolvedChanges, RewrittenTable } from './rewrite-partition-table.ts'
import { assertAligned, assertFits, grown, randomId, readAgain, refuse } from './rewriting.ts'

const USUAL_ENTRIES_LBA = 2
const MBR_BYTES = 512
const MAX_MBR_SECTORS = 0xffff_ffff

/**
 * A GPT for another disk, both copies and the MBR.
 *
 * @throws ERR_PARTITION_TABLE, ERR_TARGET_TOO_SMALL
 */
export function rewriteGpt(table: GptTable, changes: ResolvedChanges): RewrittenTable {
  const { sectorBytes, grow } = changes
  if (sectorBytes !== table.sectorBytes) assertConvertible(table, sectorBytes)
  assertGrowable(table, grow)
  const geometry = geometryFor(table, changes)
  const limit = (geometry.lastUsableLba + 1) * sectorBytes
  const partitions = grown(table.partitions, grow, table.partitions, limit)
  const entries = encodeEntries(table, partitions, changes)
  const headers = encodeHeaders(table, geometry, entries, changes)
  const padded = new Uint8Array(geometry.entrySectors * sectorBytes)
  padded.set(entries)
  const at = (lba: number, bytes: Uint8Array): DiskWrite => ({ offset: lba * sectorBytes, bytes })
  const primary = [at(geometry.primaryEntriesLba, padded), at(1, headers.primary)]
  const backup = [at(geometry.backupEntriesLba, padded), at(geometry.lastLba, headers.backup)]
  // The copy that was read goes last: it may be the only one that is sound.
  const copies = table.copy === 'primary' ? [...backup, ...primary] : [...primary, ...backup]
  const writes = [...copies, at(0, bootSector(table, geometry.lastLba, changes))]
  return { writes, table: readAgain(writes, [{ offset: 0, bytes: table.raw.head }], partitions, changes) }
}

/** Partitions keep their bytes, so they have to fit the new sectors. A hybrid's MBR covers the disk in its own way. */
function assertConvertible(table: GptTable, sectorBytes: number): void {
  if (table.kind === 'hybrid') refuse('its MBR is a hybrid, which counts in sectors of another size')
  if (table.raw.header.length > sectorBytes) refuse('its header is longer than a sector')
  assertAligned(table.partitions, sectorBytes)
}

function assertGrowable(table: GptTable, grow: number | undefined): void {
  const growing = table.partitions.find(({ number }) => number === grow)
  if (growing === undefined || table.mbrPartitions.every(({ offset }) => offset !== growing.offset)) return
  refuse(`partition ${growing.number} is in the hybrid MBR too, which would have to be laid out anew`)
}

/** Where everything comes to lie. What is in its place stays there. */
function geometryFor(table: GptTable, { sizeBytes, sectorBytes }: ResolvedChanges): GptGeometry {
  const isSameSector = sectorBytes === table.sectorBytes
  const entrySectors = Math.ceil(table.raw.entries.length / sectorBytes)
  const lastLba = Math.floor(sizeBytes / sectorBytes) - 1
  const { primary, backup } = table.copies
  const primaryEntriesLba = (isSameSector && primary?.entriesLba) || USUAL_ENTRIES_LBA
  const firstUsableLba = firstUsable(table, primaryEntriesLba + entrySectors, sectorBytes)
  const isInPlace = isSameSector && backup?.headerLba === lastLba
  const backupEntriesLba = isInPlace ? backup.entriesLba : lastLba - entrySectors
  if (!isInPlace) {
    const sectorsBefore = Math.max(firstUsableLba + 1, contentEnd(table) / sectorBytes)
    assertFits((sectorsBefore + entrySectors + 1) * sectorBytes, sizeBytes)
  }
  const mostUsable = backupEntriesLba - 1
  const belongsAtEnd = isSameSector && backupLbaOf(table) === lastLba
  const lastUsableLba = belongsAtEnd
    ? Math.min(endOf(table.usable) / sectorBytes - 1, mostUsable)
    : mostUsable
  return { lastLba, entrySectors, firstUsableLba, lastUsableLba, primaryEntriesLba, backupEntriesLba }
}

function contentEnd({ partitions }: GptTable): number {
  return partitions.reduce((most, partition) => Math.max(most, endOf(partition)), 0)
}

/** As it was, or as close to it as a primary copy up to sector `least` allows. */
function firstUsable(
  { usable, partitions, sectorBytes: before }: GptTable,
  least: number,
  sectorBytes: number,
): number {
  const first = partitions.reduce((low, { offset }) => Math.min(low, offset), Number.POSITIVE_INFINITY)
  const isSameSector = before === sectorBytes
  const room = isSameSector ? usable.offset : first
  if (least * sectorBytes > room) refuse('its first copy has no room before the first partition')
  if (isSameSector) return usable.offset / sectorBytes
  return Math.max(least, Math.min(Math.ceil(usable.offset / sectorBytes), first / sectorBytes))
}

/** Where the backup belongs, whether it is sound or not. */
function backupLbaOf({ copy, raw }: GptTable): number {
  return lbaAt(viewOf(raw.header), copy === 'primary' ? HEADER_FIELDS.alternateLba : HEADER_FIELDS.lba)
}

/** The MBR: boot code and hybrid entries as they were, the protective ones as long as the disk. */
function bootSector(table: GptTable, lastLba: number, changes: ResolvedChanges): Uint8Array {
  const { sectorBytes, newIdentity, random } = changes
  const sector = new Uint8Array(sectorBytes)
  // Behind 512 bytes a longer sector would keep what was the first copy in short ones.
  sector.set(table.raw.head.subarray(0, sectorBytes === table.sectorBytes ? sectorBytes : MBR_BYTES))
  for (const [index, { type, start, sectors }] of decodeMbrSector(sector).entries.entries()) {
    if (type !== PROTECTIVE_TYPE || sectors === MAX_MBR_SECTORS) continue
    const most = Math.min(lastLba + 1 - start, MAX_MBR_SECTORS)
    if (most < 1) refuse('a protective entry of its hybrid MBR begins beyond the end of the disk')
    const wanted = table.kind === 'gpt' && start === 1 ? most : Math.min(sectors, most)
    if (wanted !== sectors) setProtectiveSize(sector, index, wanted)
  }
  const hasSignature = sector.subarray(SIGNATURE_AT, SIGNATURE_AT + 4).some((byte) => byte !== 0)
  if (newIdentity && hasSignature) sector.set(randomId(random, 4), SIGNATURE_AT)
  return sector
}
