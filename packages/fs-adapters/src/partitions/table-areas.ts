import type { GptHeader } from './gpt-copy.ts'
import { endOf, type Partition, type TableArea } from './partition-table.ts'

/** What a copy of a GPT occupies. */
export function gptCopyAreas(header: GptHeader, sectorBytes: number): TableArea[] {
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
 * All areas of a table, ascending and without overlap: what is its own, and everything before the first and behind the
 * last partition, where boot loaders and what software keeps at the end of disks are, and copies that are damaged. With no
 * partition that is the whole disk.
 */
export function tableAreas(
  own: readonly TableArea[],
  partitions: readonly Partition[],
  sizeBytes: number,
): TableArea[] {
  const first = partitions.reduce((least, { offset }) => Math.min(least, offset), sizeBytes)
  const last = partitions.reduce((most, partition) => Math.max(most, endOf(partition)), first)
  const around: TableArea[] = [
    { kind: 'boot-area', offset: 0, length: first },
    { kind: 'end-area', offset: last, length: sizeBytes - last },
  ]
  return around.reduce(withUncovered, withoutOverlap(own))
}

function withoutOverlap(areas: readonly TableArea[]): TableArea[] {
  return areas.reduce<TableArea[]>(withUncovered, [])
}

/** Adds the parts of an area that no other has, to areas that are ascending and without overlap. */
function withUncovered(areas: readonly TableArea[], added: TableArea): TableArea[] {
  const result: TableArea[] = []
  let at = added.offset
  const end = endOf(added)
  for (const area of areas) {
    const until = Math.min(end, area.offset)
    if (until > at) result.push({ ...added, offset: at, length: until - at })
    at = Math.max(at, endOf(area))
    result.push(area)
  }
  if (end > at) result.push({ ...added, offset: at, length: end - at })
  return result
}
