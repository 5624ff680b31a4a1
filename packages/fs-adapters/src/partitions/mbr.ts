import type { Decoding, DiskShape } from './decoding.ts'
import { decodeMbrSector, isExtended, type MbrEntry, type MbrSector } from './mbr-sector.ts'
import { type Partition, problem, type TableProblem } from './partition-table.ts'
import { typeName } from './type-names.ts'

/** What the MBR and its chains of EBRs say. */
export interface Mbr {
  readonly partitions: readonly Partition[]
  readonly ebrs: readonly EbrSector[]
  readonly problems: readonly TableProblem[]
}

/** The sector of an EBR, and where it stands in bytes. */
export interface EbrSector {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** EBRs that are followed; Linux has room for fewer partitions. */
const MAX_EBRS = 256
const FIRST_LOGICAL = 5

/**
 * Follows the chains of all extended partitions, and numbers logical ones as Linux does. An EBR counts its logical
 * partition from itself, and its link from the beginning of the extended partition.
 */
export function* decodeMbr(disk: DiskShape, sector: MbrSector): Decoding<Mbr> {
  const problems: TableProblem[] = []
  const ebrs: EbrSector[] = []
  const logicals: MbrEntry[] = []
  for (const extended of sector.entries) {
    if (!isExtended(extended) || extended.sectors === 0) continue
    yield* followChain(disk, { extended, visited: new Set(), ebrs, logicals, problems })
  }
  const { sectorBytes } = disk
  const partitions = [
    ...primaryPartitions(sector, sectorBytes),
    ...logicals.map((entry, i) =>
      mbrPartition(entry, FIRST_LOGICAL + i, 'logical', sector.diskSignature, sectorBytes),
    ),
  ]
  for (const { number, type } of partitions) {
    if (type !== '00') continue
    const message = `Entry ${number} has a size and no type: some systems take it for a partition, others do not.`
    problems.push(problem('error', 'partition-invalid', message))
  }
  return { partitions, ebrs, problems }
}

interface Chain {
  readonly extended: MbrEntry
  readonly visited: Set<number>
  readonly ebrs: EbrSector[]
  /** What was found, with addresses from the beginning of the disk. */
  readonly logicals: MbrEntry[]
  readonly problems: TableProblem[]
}

function* followChain(disk: DiskShape, chain: Chain): Decoding<void> {
  const { extended, logicals, problems } = chain
  let lba: number | undefined = extended.start
  while (lba !== undefined) {
    const at: number = lba
    const ebr: MbrSector | undefined = yield* readEbr(disk, chain, at)
    if (ebr === undefined) return
    logicals.push(
      ...logicalEntries(ebr, extended, at).map((entry) => ({ ...entry, start: at + entry.start })),
    )
    const links = ebr.entries.filter((entry) => isExtended(entry) && entry.sectors > 0)
    if (links.length > 1) {
      const message = `The chain of logical partitions goes on in two ways at sector ${at}.`
      problems.push(problem('error', 'chain-broken', message))
    }
    lba = links[0] && extended.start + links[0].start
  }
}

/** The EBR in sector `lba`, or undefined and a problem where the chain cannot be followed. */
function* readEbr(disk: DiskShape, chain: Chain, lba: number): Decoding<MbrSector | undefined> {
  const { extended, visited, ebrs, problems } = chain
  const broken = (why: string): undefined => {
    problems.push(
      problem('error', 'chain-broken', `The chain of logical partitions breaks at sector ${lba}: ${why}.`),
    )
  }
  const offset = lba * disk.sectorBytes
  if (visited.has(lba)) return broken('it comes back to where it was')
  if (ebrs.length >= MAX_EBRS) return broken(`it has more than ${MAX_EBRS} members`)
  if (lba >= extended.start + extended.sectors) return broken('it leaves the extended partition')
  if (offset + disk.sectorBytes > disk.sizeBytes) return broken('it leaves the disk')
  visited.add(lba)
  const bytes = yield { offset, length: disk.sectorBytes }
  if (bytes === undefined) return broken('the sector cannot be read')
  const ebr = decodeMbrSector(bytes)
  if (!ebr.isSigned) return broken('the sector is no boot record')
  ebrs.push({ offset, bytes: new Uint8Array(bytes) })
  return ebr
}

/** As Linux takes them: the third and fourth entry often hold garbage, and count only within the container. */
function logicalEntries(ebr: MbrSector, extended: MbrEntry, lba: number): MbrEntry[] {
  return ebr.entries.filter((entry, slot) => {
    if (entry.sectors === 0 || isExtended(entry)) return false
    return slot < 2 || lba + entry.start + entry.sectors <= extended.start + extended.sectors
  })
}

/** The entries of the MBR itself that are in use. */
export function primaryPartitions(sector: MbrSector, sectorBytes: number): Partition[] {
  return sector.entries.flatMap((entry, slot) => {
    if (entry.sectors === 0) return []
    const kind = isExtended(entry) ? 'extended' : 'primary'
    return [mbrPartition(entry, slot + 1, kind, sector.diskSignature, sectorBytes)]
  })
}

function mbrPartition(
  entry: MbrEntry,
  number: number,
  kind: Partition['kind'],
  diskSignature: string,
  sectorBytes: number,
): Partition {
  const type = entry.type.toString(16).padStart(2, '0')
  return {
    number,
    kind,
    offset: entry.start * sectorBytes,
    length: entry.sectors * sectorBytes,
    type,
    typeName: typeName(type),
    partUuid: `${diskSignature}-${number.toString(16).padStart(2, '0')}`,
    name: '',
    bootable: entry.indicator === 0x80,
    attributeBits: [],
  }
}
