import { crc32 } from 'node:zlib'
import { viewOf } from './decoding.ts'
import { HEADER_FIELDS, headerCrc } from './gpt-copy.ts'
import { ENTRY_FIELDS } from './gpt-entries.ts'
import { randomGuid } from './guid.ts'
import type { GptTable, Partition } from './partition-table.ts'
import type { ResolvedChanges } from './rewrite-partition-table.ts'
import { randomId } from './rewriting.ts'

/** Where the parts of a GPT come to lie, in sectors. */
export interface GptGeometry {
  readonly lastLba: number
  readonly entrySectors: number
  readonly firstUsableLba: number
  readonly lastUsableLba: number
  readonly primaryEntriesLba: number
  readonly backupEntriesLba: number
}

const GUID_BYTES = 16

/** The entries as they were read, but for ranges and GUIDs. Whatever else they hold stays, known or not. */
export function encodeEntries(
  { raw }: GptTable,
  partitions: readonly Partition[],
  { sectorBytes, newIdentity, random }: ResolvedChanges,
): Uint8Array {
  const entries = raw.entries.slice()
  const view = viewOf(entries)
  const entryBytes = viewOf(raw.header).getUint32(HEADER_FIELDS.entryBytes, true)
  for (const { number, offset, length } of partitions) {
    const at = (number - 1) * entryBytes
    view.setBigUint64(at + ENTRY_FIELDS.firstLba, BigInt(offset / sectorBytes), true)
    view.setBigUint64(at + ENTRY_FIELDS.lastLba, BigInt((offset + length) / sectorBytes - 1), true)
    if (newIdentity) entries.set(randomGuid(randomId(random, GUID_BYTES)), at + ENTRY_FIELDS.guid)
  }
  return entries
}

/** Both headers, each a sector, as they were read but for what depends on the disk. */
export function encodeHeaders(
  { raw }: GptTable,
  geometry: GptGeometry,
  entries: Uint8Array,
  { sectorBytes, newIdentity, random }: ResolvedChanges,
): { readonly primary: Uint8Array; readonly backup: Uint8Array } {
  const common = new Uint8Array(raw.header)
  const view = viewOf(common)
  view.setBigUint64(HEADER_FIELDS.firstUsableLba, BigInt(geometry.firstUsableLba), true)
  view.setBigUint64(HEADER_FIELDS.lastUsableLba, BigInt(geometry.lastUsableLba), true)
  view.setUint32(HEADER_FIELDS.entriesCrc, crc32(entries), true)
  if (newIdentity) common.set(randomGuid(randomId(random, GUID_BYTES)), HEADER_FIELDS.diskGuid)
  const { lastLba, primaryEntriesLba, backupEntriesLba } = geometry
  return {
    primary: headerSector(
      common,
      { lba: 1, alternateLba: lastLba, entriesLba: primaryEntriesLba },
      sectorBytes,
    ),
    backup: headerSector(
      common,
      { lba: lastLba, alternateLba: 1, entriesLba: backupEntriesLba },
      sectorBytes,
    ),
  }
}

function headerSector(
  common: Uint8Array,
  place: { readonly lba: number; readonly alternateLba: number; readonly entriesLba: number },
  sectorBytes: number,
): Uint8Array {
  const header = new Uint8Array(common)
  const view = viewOf(header)
  view.setBigUint64(HEADER_FIELDS.lba, BigInt(place.lba), true)
  view.setBigUint64(HEADER_FIELDS.alternateLba, BigInt(place.alternateLba), true)
  view.setBigUint64(HEADER_FIELDS.entriesLba, BigInt(place.entriesLba), true)
  view.setUint32(HEADER_FIELDS.headerCrc, headerCrc(header), true)
  const sector = new Uint8Array(sectorBytes)
  sector.set(header)
  return sector
}
