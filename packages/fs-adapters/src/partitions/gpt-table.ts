import type { DiskShape } from './decoding.ts'
import type { ValidGpt } from './gpt.ts'
import type { GptHeader } from './gpt-copy.ts'
import { gptPartitions } from './gpt-entries.ts'
import { layoutProblems } from './layout-checks.ts'
import { primaryPartitions } from './mbr.ts'
import { type MbrSector, PROTECTIVE_TYPE } from './mbr-sector.ts'
import {
  endOf,
  type GptPlace,
  type GptTable,
  isTrustworthy,
  type Partition,
  problem,
  type TableArea,
  type TableProblem,
} from './partition-table.ts'
import { entrySectors, gptCopyAreas, tableAreas } from './table-areas.ts'

/** More problems than this say nothing more. */
const MAX_PROBLEMS = 64
const USUAL_ENTRY_BYTES = 128
const MAX_MBR_SECTORS = 0xffff_ffff

/** Makes a table of a GPT that was read, its MBR, and what is wrong with either. */
export function gptTable(
  disk: DiskShape,
  head: Uint8Array,
  sector: MbrSector,
  gpt: ValidGpt,
  earlier: readonly TableProblem[],
): GptTable {
  const { sectorBytes, sizeBytes } = disk
  const { header, entries } = gpt.used
  const { partitions, problems } = gptPartitions(header, entries, sectorBytes)
  const mbrPartitions = primaryPartitions(sector, sectorBytes).filter(({ type }) => type !== 'ee')
  const own: TableArea[] = [{ kind: 'mbr', offset: 0, length: sectorBytes }]
  for (const sound of Object.values(gpt.sound)) own.push(...gptCopyAreas(sound, sectorBytes))
  const usable = usableRange(header, sectorBytes)
  const all = [
    ...earlier,
    ...gpt.problems,
    ...problems,
    ...layoutProblems(partitions, own, sizeBytes),
    ...usableProblems(gpt, usable, partitions, sectorBytes),
    ...mbrProblems(disk, sector, mbrPartitions, partitions),
  ]
  if (header.entryBytes !== USUAL_ENTRY_BYTES) {
    const message = `Entries of the GPT take ${header.entryBytes} bytes each; Linux reads only those of 128.`
    all.push(problem('warning', 'entry-size', message))
  }
  return {
    kind: mbrPartitions.length > 0 ? 'hybrid' : 'gpt',
    sizeBytes,
    sectorBytes,
    isTrustworthy: isTrustworthy(all),
    problems: worst(all),
    diskGuid: header.diskGuid,
    copy: gpt.copy,
    copies: placesOf(gpt),
    usable,
    partitions,
    mbrPartitions,
    areas: tableAreas(own, partitions, sizeBytes),
    raw: { head, header: header.bytes, entries },
  }
}

function usableRange(
  { firstUsableLba, lastUsableLba }: GptHeader,
  sectorBytes: number,
): {
  readonly offset: number
  readonly length: number
} {
  const clamp = (lba: number): number => Math.min(lba * sectorBytes, Number.MAX_SAFE_INTEGER)
  const offset = clamp(firstUsableLba)
  return { offset, length: clamp(lastUsableLba + 1) - offset }
}

function placesOf({ sound }: ValidGpt): GptTable['copies'] {
  const place = ({ lba, entriesLba }: GptHeader): GptPlace => ({ headerLba: lba, entriesLba })
  return {
    ...(sound.primary && { primary: place(sound.primary) }),
    ...(sound.backup && { backup: place(sound.backup) }),
  }
}

/** The usable range must leave out both copies, and hold all partitions. */
function usableProblems(
  { sound }: ValidGpt,
  usable: GptTable['usable'],
  partitions: readonly Partition[],
  sectorBytes: number,
): TableProblem[] {
  const problems: TableProblem[] = []
  const { primary, backup } = sound
  const isBeforePrimaryEnds =
    primary && usable.offset < (primary.entriesLba + entrySectors(primary, sectorBytes)) * sectorBytes
  const isAfterBackupBegins = backup && endOf(usable) > Math.min(backup.entriesLba, backup.lba) * sectorBytes
  if (isBeforePrimaryEnds || isAfterBackupBegins) {
    problems.push(problem('error', 'usable-range', 'The usable range of the GPT has a copy of it inside.'))
  }
  for (const partition of partitions) {
    if (partition.offset >= usable.offset && endOf(partition) <= endOf(usable)) continue
    const message = `Partition ${partition.number} leaves the usable range of the GPT.`
    problems.push(problem('error', 'usable-range', message))
  }
  return problems
}

/** A protective entry must begin at sector 1, and what a hybrid lists must be partitions of the GPT. */
function mbrProblems(
  disk: DiskShape,
  sector: MbrSector,
  mbrPartitions: readonly Partition[],
  partitions: readonly Partition[],
): TableProblem[] {
  const protective = sector.entries.filter(({ type }) => type === PROTECTIVE_TYPE)
  const first = protective.find(({ start }) => start === 1)
  const afterFirst = Math.floor(disk.sizeBytes / disk.sectorBytes) - 1
  const problems: TableProblem[] = []
  if (first === undefined) {
    const message =
      'The protective entry of the MBR does not begin at sector 1, so that Linux ignores the GPT.'
    problems.push(problem('error', 'protective-mbr-unusual', message))
  } else if (
    mbrPartitions.length === 0 &&
    first.sectors !== MAX_MBR_SECTORS &&
    first.sectors !== Math.min(afterFirst, MAX_MBR_SECTORS)
  ) {
    const message = `The protective entry of the MBR has ${first.sectors} sectors, and the disk ${afterFirst} after the first.`
    problems.push(problem('warning', 'protective-mbr-unusual', message))
  }
  const known = new Set(partitions.map(({ offset, length }) => `${offset}+${length}`))
  for (const { number, offset, length } of mbrPartitions) {
    if (known.has(`${offset}+${length}`)) continue
    const message = `Entry ${number} of the hybrid MBR is no partition of the GPT.`
    problems.push(problem('error', 'hybrid-disagrees', message))
  }
  return problems
}

/** As many as say something, errors first. */
function worst(problems: readonly TableProblem[]): readonly TableProblem[] {
  if (problems.length <= MAX_PROBLEMS) return problems
  const errors = problems.filter(({ severity }) => severity === 'error')
  const warnings = problems.filter(({ severity }) => severity === 'warning')
  return [...errors, ...warnings].slice(0, MAX_PROBLEMS)
}
