import { SIGNATURE_AT, setRange } from './mbr-sector.ts'
import { endOf, type MbrTable, type Partition } from './partition-table.ts'
import type { ResolvedChanges, RewrittenTable } from './rewrite-partition-table.ts'
import { assertAligned, assertFits, grown, randomId, readAgain, refuse } from './rewriting.ts'

/** Sectors that an MBR can count; partitions grow up to there. */
const MAX_SECTORS = 0xffff_ffff

/**
 * An MBR for another disk. Chains of logical partitions are not touched.
 *
 * @throws ERR_PARTITION_TABLE, ERR_TARGET_TOO_SMALL
 */
export function rewriteMbr(table: MbrTable, changes: ResolvedChanges): RewrittenTable {
  const { sizeBytes, sectorBytes, newIdentity, random } = changes
  const contentEnd = table.partitions.reduce(
    (most, partition) => Math.max(most, endOf(partition)),
    sectorBytes,
  )
  assertFits(contentEnd, sizeBytes)
  const isSameSector = sectorBytes === table.sectorBytes
  if (!isSameSector) assertConvertible(table, sectorBytes)
  const partitions = grownPartitions(table, changes)
  const before = new Uint8Array(sectorBytes)
  before.set(table.raw.head.subarray(0, sectorBytes))
  const sector = before.slice()
  for (const [i, partition] of partitions.entries())
    if (!isSameSector || partition !== table.partitions[i]) setEntry(sector, partition, sectorBytes)
  if (newIdentity) sector.set(randomId(random, 4), SIGNATURE_AT)
  const writes = Buffer.compare(sector, before) === 0 ? [] : [{ offset: 0, bytes: sector }]
  const present = [{ offset: 0, bytes: table.raw.head }, ...table.raw.ebrs]
  return { writes, table: readAgain(writes, present, partitions, changes) }
}

/** Only an entry of the MBR itself is ever set: logical partitions neither grow nor change their sectors. */
function setEntry(sector: Uint8Array, { number, offset, length }: Partition, sectorBytes: number): void {
  const start = offset / sectorBytes
  const sectors = length / sectorBytes
  if (start > MAX_SECTORS || sectors > MAX_SECTORS)
    refuse(`partition ${number} has more sectors of ${sectorBytes} bytes than an MBR can count`)
  setRange(sector, number - 1, start, sectors)
}

function assertConvertible({ partitions }: MbrTable, sectorBytes: number): void {
  if (partitions.some(({ kind }) => kind !== 'primary'))
    refuse('the chain of its logical partitions counts in sectors of another size')
  assertAligned(partitions, sectorBytes)
}

function grownPartitions(
  { partitions }: MbrTable,
  { sizeBytes, sectorBytes, grow }: ResolvedChanges,
): Partition[] {
  const growing = partitions.find(({ number }) => number === grow)
  if (growing?.kind === 'logical')
    refuse(`partition ${growing.number} is a logical one, and their chain is left as it is`)
  const others = partitions.filter(({ kind }) => kind !== 'logical')
  return grown(partitions, grow, others, Math.min(sizeBytes, MAX_SECTORS * sectorBytes))
}
