import type { DiskShape } from './decoding.ts'
import type { GptHeader } from './gpt-copy.ts'
import { endOf, type Partition, type TableRegion } from './partition-table.ts'

/** What a copy of a GPT occupies. */
export function gptCopyRegions(header: GptHeader, sectorBytes: number): TableRegion[] {
  return [
    { kind: 'gpt-header', offset: header.lba * sectorBytes, length: sectorBytes },
    {
      kind: 'gpt-entries',
      offset: header.entriesLba * sectorBytes,
      length: entrySectors(header, sectorBytes) * sectorBytes,
    },
  ]
}

/** Sectors that the entries of a GPT take. */
export function entrySectors(
  { entryCount, entryBytes }: Pick<GptHeader, 'entryCount' | 'entryBytes'>,
  sectorBytes: number,
): number {
  return Math.ceil((entryCount * entryBytes) / sectorBytes)
}

/**
 * Where the backup stands or should stand, sound or not: at the end of the disk, and before the sector that the
 * primary names. Its entries come before its header.
 */
export function backupAreas(header: GptHeader, disk: DiskShape): TableRegion[] {
  const lastLba = Math.floor(disk.sizeBytes / disk.sectorBytes) - 1
  const named = header.lba === 1 ? header.alternateLba : header.lba
  return [...new Set([named, lastLba])]
    .filter((lba) => lba > 1 && lba <= lastLba)
    .map((lba) => {
      const first = Math.max(0, lba - entrySectors(header, disk.sectorBytes))
      return {
        kind: 'gpt-backup-area',
        offset: first * disk.sectorBytes,
        length: (lba + 1 - first) * disk.sectorBytes,
      }
    })
}

/**
 * All regions of a table, ascending and without overlap: what is its own, areas beside it, and everything before the
 * first partition. With no partition that is everything up to `endBytes`.
 */
export function tableRegions(
  own: readonly TableRegion[],
  areas: readonly TableRegion[],
  partitions: readonly Partition[],
  endBytes: number,
): TableRegion[] {
  const first = partitions.reduce((least, { offset }) => Math.min(least, offset), endBytes)
  const bootArea: TableRegion = { kind: 'boot-area', offset: 0, length: first }
  return [...areas, bootArea].reduce(withUncovered, withoutOverlap(own))
}

function withoutOverlap(regions: readonly TableRegion[]): TableRegion[] {
  return regions.reduce<TableRegion[]>(withUncovered, [])
}

/** Adds the parts of a region that no other has, to regions that are ascending and without overlap. */
function withUncovered(regions: readonly TableRegion[], added: TableRegion): TableRegion[] {
  const result: TableRegion[] = []
  let at = added.offset
  const end = endOf(added)
  for (const region of regions) {
    const until = Math.min(end, region.offset)
    if (until > at) result.push({ ...added, offset: at, length: until - at })
    at = Math.max(at, endOf(region))
    result.push(region)
  }
  if (end > at) result.push({ ...added, offset: at, length: end - at })
  return result
}
