// Reading of test disks, with what must hold of every table whatever the disk.
import { deepEqual, ok } from 'node:assert/strict'
import { type PartitionTable, readPartitionTable } from '@platter/fs-adapters/partitions'
import type { SparseDisk } from './sparse-disk.ts'

const MOST_READ_BYTES = 50 * 2 ** 20

export async function read(disk: SparseDisk, sectorBytes?: number): Promise<PartitionTable> {
  disk.bytesRead = 0
  const table = await readPartitionTable(disk, sectorBytes === undefined ? {} : { sectorBytes })
  assertSound(table, disk)
  return table
}

/** Reads a table that has to be without any problem. */
export async function readFlawless(disk: SparseDisk, sectorBytes?: number): Promise<PartitionTable> {
  const table = await read(disk, sectorBytes)
  deepEqual(table.problems, [])
  return table
}

export function codesOf({ problems }: PartitionTable): string[] {
  return problems.map(({ code }) => code)
}

function assertSound(table: PartitionTable, disk: SparseDisk): void {
  const { sizeBytes } = disk.info
  ok(disk.bytesRead <= MOST_READ_BYTES, `${disk.bytesRead} bytes were read`)
  ok(table.sizeBytes === sizeBytes)
  ok(table.isTrustworthy === table.problems.every(({ severity }) => severity === 'warning'))
  ok(table.problems.length <= 600, 'problems without end')
  let end = 0
  for (const { offset, length } of table.areas) {
    ok(offset >= end && length > 0 && offset + length <= sizeBytes, 'an area is out of order')
    end = offset + length
  }
  const numbers = table.partitions.map(({ number }) => number)
  ok(
    numbers.every((number, i) => i === 0 || number > numbers[i - 1]!),
    'numbers are not in order',
  )
  if (table.isTrustworthy) assertTrusted(table)
}

function assertTrusted(table: PartitionTable): void {
  ok(table.kind !== 'unusable', 'an unusable table is trusted')
  for (const { offset, length } of table.partitions)
    ok(offset > 0 && length > 0 && offset + length <= table.sizeBytes, 'a partition leaves the disk')
  const leaves = table.partitions.filter(({ kind }) => kind !== 'extended')
  const sorted = leaves.sort((a, b) => a.offset - b.offset)
  for (const [i, { offset }] of sorted.entries()) {
    const before = sorted[i - 1]
    ok(before === undefined || offset >= before.offset + before.length, 'partitions overlap')
  }
}
