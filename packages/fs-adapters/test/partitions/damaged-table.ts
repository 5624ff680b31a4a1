import type { PartitionTable, TableProblemCode } from '@platter/fs-adapters/partitions'
import type { MadeGpt } from './made-tables.ts'
import type { SparseDisk } from './sparse-disk.ts'

export const MiB: number = 2 ** 20
export const SIZE: number = 64 * MiB
/** The last sector. */
export const LAST: number = SIZE / 512 - 1

export interface DamagedTable {
  readonly disk: SparseDisk
  readonly kind: PartitionTable['kind']
  /** Codes of all problems, in order. */
  readonly codes: readonly TableProblemCode[]
  readonly isTrustworthy: boolean
  /** How many partitions it has. Default 2. */
  readonly partitions?: number
}

/** Two partitions, one behind the other. */
export const TWO: MadeGpt = {
  sizeBytes: SIZE,
  partitions: [
    { number: 1, first: 2048, last: 4095 },
    { number: 2, first: 4096, last: 9999 },
  ],
}
