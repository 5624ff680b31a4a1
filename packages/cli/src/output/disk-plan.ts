import type { DiskRestorePlan, InspectedTarget } from '@platter/fs-adapters'
import { formatBytes } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'

/** A plan for programs. */
export function planRecord(plan: DiskRestorePlan): object {
  const { range, sizeBytes, partition, notes } = plan
  const partitions = (plan.newTable ?? plan.table).partitions.map(({ number, offset, length, partUuid }) => ({
    number,
    offset,
    length,
    partUuid,
  }))
  return { range, sizeBytes, partition: partition?.number, partitions, notes }
}

/** What a dry run says to people. */
export function planText(what: string, target: InspectedTarget, plan: DiskRestorePlan): string {
  const { range, sizeBytes, partition, table, newTable, notes } = plan
  const part = partition === undefined ? '' : `, partition ${partition.number}`
  const lines = [
    `Would write ${printable(what)}${part}, ${formatBytes(range.length)}, to ${printable(target.label)}:`,
    `  target: ${describe(target)}; ${formatBytes(sizeBytes)} of it would be used`,
  ]
  if (partition === undefined) {
    for (const { number, offset, length, typeName, type } of (newTable ?? table).partitions)
      lines.push(`  partition ${number}: ${formatBytes(length)} at ${offset}, ${typeName ?? type}`)
  }
  return [...lines, ...notes.map((note) => `  ${printable(note)}`), 'Nothing was written.'].join('\n')
}

function describe({ kind, capacityBytes, sizeBytes, identity, inUse }: InspectedTarget): string {
  const size = capacityBytes ?? sizeBytes
  const facts = [kind]
  if (size !== undefined) facts.push(`${formatBytes(size)} (${size} bytes)`)
  if (kind === 'block-device' && identity !== undefined) facts.push(printable(identity))
  if (inUse !== undefined) facts.push(`IN USE: ${printable(inUse)}`)
  return facts.join(', ')
}
