import { bootSectorOf, foreignLabelOf } from './boot-sector.ts'
import type { Decoding, DiskShape } from './decoding.ts'
import { decodeGpt, type Gpt, type ValidGpt } from './gpt.ts'
import { gptTable } from './gpt-table.ts'
import { layoutProblems } from './layout-checks.ts'
import { decodeMbr } from './mbr.ts'
import { decodeMbrSector, type MbrEntry, type MbrSector, PROTECTIVE_TYPE } from './mbr-sector.ts'
import {
  isTrustworthy,
  type MbrTable,
  type NoTable,
  type PartitionTable,
  problem,
  type TableArea,
  type TableProblem,
  type UnusableTable,
} from './partition-table.ts'
import { tableAreas } from './table-areas.ts'

/** Sizes of sectors that are understood. */
export const SECTOR_SIZES: readonly number[] = [512, 4096]
/** The first bytes of a disk: the MBR in its largest sector. */
const HEAD_BYTES = 4096

/**
 * Decides what a disk has and reads it. Like Linux and UEFI it believes in a GPT only where the MBR has a protective
 * entry, and never decides between things that contradict each other.
 */
export function* decodePartitionTable(disk: DiskShape): Decoding<PartitionTable> {
  if (!SECTOR_SIZES.includes(disk.sectorBytes)) {
    const message = `Partition tables of disks with sectors of ${disk.sectorBytes} bytes are not understood.`
    return unusable(disk, [problem('error', 'sector-size-unsupported', message)])
  }
  if (disk.sizeBytes < disk.sectorBytes) return none(disk, undefined, [])
  const head =
    (yield { offset: 0, length: Math.min(HEAD_BYTES, disk.sizeBytes) }) ??
    (yield { offset: 0, length: disk.sectorBytes })
  if (head === undefined) {
    return unusable(disk, [problem('error', 'unreadable', 'The first sector of the disk cannot be read.')])
  }
  const otherDisk = { ...disk, sectorBytes: disk.sectorBytes === 512 ? 4096 : 512 }
  const sector = decodeMbrSector(head)
  const own = yield* decodeGpt(disk)
  const other = yield* decodeGpt(otherDisk)
  // Not slice(): that of a Buffer shares its memory.
  const found: Found = { disk, otherDisk, head: new Uint8Array(head), sector, own, other }
  const isProtective = sector.isSigned && sector.entries.some(({ type }) => type === PROTECTIVE_TYPE)
  return isProtective ? protectedGpt(found) : yield* withoutProtection(found)
}

/** What was read before anything is decided. */
interface Found {
  readonly disk: DiskShape
  /** The same with the other size of sectors. */
  readonly otherDisk: DiskShape
  readonly head: Uint8Array
  readonly sector: MbrSector
  readonly own: Gpt
  readonly other: Gpt
}

/** The MBR says that this is a GPT disk. */
function protectedGpt({ disk, otherDisk, head, sector, own, other }: Found): PartitionTable {
  if (own.state !== 'valid' && other.state !== 'valid') {
    const message = 'The MBR announces a GPT, and no copy of it can be used.'
    const damage = own.state === 'damaged' ? own.problems : []
    return unusable(disk, [problem('error', 'gpt-damaged', message), ...damage])
  }
  const isOwn = disk.sectorBytesCertain ? rank(own) >= rank(other) : rank(own) > rank(other)
  if (isOwn) return gptTable(disk, head, sector, own as ValidGpt, [])
  const differs = `The GPT is one for sectors of ${otherDisk.sectorBytes} bytes.`
  if (disk.sectorBytesCertain) return unusable(disk, [problem('error', 'sector-size-differs', differs)])
  if (rank(own) === rank(other)) {
    const message = 'There are two GPTs, for sectors of 512 and of 4096 bytes.'
    return unusable(disk, [problem('error', 'ambiguous', message)])
  }
  const problems = [problem('warning', 'sector-size-differs', differs)]
  return gptTable(otherDisk, head, sector, other as ValidGpt, problems)
}

/** A GPT read from its primary says more than one of which only a backup is left. */
function rank(gpt: Gpt): number {
  if (gpt.state !== 'valid') return 0
  return gpt.copy === 'primary' ? 2 : 1
}

/** The MBR is one of its own, a boot sector, or nothing. */
function* withoutProtection(found: Found): Decoding<PartitionTable> {
  const { disk, head, sector } = found
  const stale = staleGpt(found)
  const filesystem = bootSectorOf(head)
  const looksLikeTable = hasIndicators(sector) && used(sector).length > 0 && isPlausible(disk, sector)
  if (looksLikeTable && (filesystem !== undefined || !sector.isSigned)) {
    const what =
      filesystem === undefined ? 'not signed as' : `that of a ${filesystem} filesystem and looks like`
    return unusable(disk, [
      problem('error', 'ambiguous', `The first sector is ${what} an MBR with partitions.`),
    ])
  }
  // A filesystem has taken the place of a table; of that, only remnants are left.
  if (filesystem !== undefined)
    return none(disk, filesystem, stale ? [{ ...stale, severity: 'warning' }] : [])
  const label = foreignLabelOf(head)
  if (label !== undefined) {
    const message = `The disk has a label of a kind that is not understood: ${label}.`
    return none(disk, label, [problem('error', 'label-unsupported', message)])
  }
  if (stale?.severity === 'error') return unusable(disk, [stale])
  const problems = stale ? [stale] : []
  if (!sector.isSigned) return none(disk, undefined, problems)
  if (!hasIndicators(sector)) {
    const message = 'The first sector is signed as a boot record, and neither an MBR nor a known boot sector.'
    return unusable(disk, [problem('error', 'ambiguous', message)])
  }
  return yield* mbrTable(found, problems)
}

/** A GPT that the MBR does not announce: its first copy contradicts the MBR, a backup alone is a remnant. */
function staleGpt({ own, other }: Found): TableProblem | undefined {
  const best = Math.max(rank(own), rank(other))
  if (best === 2) {
    const message = 'There is a GPT that the MBR does not announce: some systems heed it, others do not.'
    return problem('error', 'protective-mbr-missing', message)
  }
  const message = 'The end of the disk has the backup of a GPT that the MBR does not announce.'
  return best === 1 ? problem('warning', 'stale-gpt', message) : undefined
}

/** Linux takes nothing for an MBR that has another boot indicator. */
function hasIndicators({ entries }: MbrSector): boolean {
  return entries.every(({ indicator }) => indicator === 0 || indicator === 0x80)
}

function used({ entries }: MbrSector): MbrEntry[] {
  return entries.filter(({ sectors }) => sectors > 0)
}

function isPlausible(disk: DiskShape, sector: MbrSector): boolean {
  return used(sector).every(
    ({ start, sectors, type }) =>
      type !== 0 && start > 0 && (start + sectors) * disk.sectorBytes <= disk.sizeBytes,
  )
}

function* mbrTable(found: Found, earlier: readonly TableProblem[]): Decoding<MbrTable> {
  const { disk, otherDisk, head, sector } = found
  const { partitions, ebrs, problems } = yield* decodeMbr(disk, sector)
  const own: TableArea[] = [
    { kind: 'mbr', offset: 0, length: disk.sectorBytes },
    ...ebrs.map(({ offset, bytes }) => ({ kind: 'ebr' as const, offset, length: bytes.length })),
  ]
  const all = [...earlier, ...problems, ...layoutProblems(partitions, own, disk.sizeBytes)]
  // Nothing in an MBR says what its sectors are.
  if (!disk.sectorBytesCertain && partitions.length > 0 && isPlausible(otherDisk, sector)) {
    const message = `The partitions fit with sectors of 512 and of 4096 bytes alike; say which they are.`
    all.push(problem('error', 'sector-size-ambiguous', message))
  }
  return {
    kind: 'mbr',
    sizeBytes: disk.sizeBytes,
    sectorBytes: disk.sectorBytes,
    isTrustworthy: isTrustworthy(all),
    problems: all,
    signature: sector.diskSignature,
    partitions,
    areas: tableAreas(own, partitions, disk.sizeBytes),
    raw: { head, ebrs },
  }
}

function unusable(disk: DiskShape, problems: readonly TableProblem[]): UnusableTable {
  const { sizeBytes, sectorBytes } = disk
  const areas: TableArea[] = [{ kind: 'unknown', offset: 0, length: sizeBytes }]
  return {
    kind: 'unusable',
    sizeBytes,
    sectorBytes,
    isTrustworthy: false,
    problems,
    partitions: [],
    areas: sizeBytes > 0 ? areas : [],
  }
}

function none(disk: DiskShape, content: string | undefined, problems: readonly TableProblem[]): NoTable {
  const { sizeBytes, sectorBytes } = disk
  return {
    kind: 'none',
    sizeBytes,
    sectorBytes,
    isTrustworthy: isTrustworthy(problems),
    problems,
    content,
    partitions: [],
    areas: [],
  }
}
