import type { BlockSource } from '@platter/core'
import type { FilesystemMap } from '../filesystems/filesystem-map.ts'
import { probeFilesystem } from '../filesystems/probe-filesystem.ts'
import { volumeOf } from '../filesystems/volume.ts'
import { endOf, type Partition, type PartitionTable, problem } from '../partitions/partition-table.ts'
import { type ReadPartitionTableOptions, readPartitionTable } from '../partitions/read-partition-table.ts'
import type { Mounts } from './mounts.ts'
import { raidAtEnd } from './raid-at-end.ts'

/** A disk with more partitions than that is read whole. A description of a disk in a snapshot has as many. */
const MAX_PARTITIONS = 1024
const DEFAULT_MAX_MILLIS = 30 * 60_000

/** Options of `surveyDisk`. */
export interface SurveyOptions extends ReadPartitionTableOptions {
  /** What of the disk is mounted for writing. Default: nothing. */
  readonly mounts?: Mounts
  /** Time that looking at all filesystems together may take, in milliseconds. Default: half an hour. */
  readonly maxMillis?: number
  /** Milliseconds of a clock that does not jump, for tests. */
  readonly now?: () => number
}

/** What is on a disk. */
export interface DiskSurvey {
  readonly sizeBytes: number
  readonly table: PartitionTable
  /** In the order in which they lie on the disk; none where the table cannot be trusted. */
  readonly volumes: readonly SurveyedVolume[]
}

/** A partition, or a disk without partitions. */
export interface SurveyedVolume {
  /** Undefined for a disk without partitions. */
  readonly partition: Partition | undefined
  /** Where it begins on the disk. */
  readonly offset: number
  readonly sizeBytes: number
  readonly map: FilesystemMap
  /** Why the map is not to be used, whatever it says. */
  readonly problem: { readonly code: string; readonly message: string } | undefined
}

/**
 * Reads the partition table of a disk, and of each partition, or of the disk where it has none, what is in use.
 *
 * @throws what {@link readPartitionTable} and {@link probeFilesystem} throw.
 */
export async function surveyDisk(disk: BlockSource, options: SurveyOptions = {}): Promise<DiskSurvey> {
  const { now = () => performance.now(), maxMillis = DEFAULT_MAX_MILLIS, mounts, signal } = options
  const deadline = now() + maxMillis
  const table = withFewPartitions(await readPartitionTable(disk, options))
  const volumes: SurveyedVolume[] = []
  for (const partition of volumeRanges(table)) {
    const { offset, length: sizeBytes } = partition ?? { offset: 0, length: table.sizeBytes }
    const volume = volumeOf(disk, { offset, sizeBytes })
    const map = await probeFilesystem(volume, {
      maxMillis: Math.max(0, deadline - now()),
      now,
      ...(signal === undefined ? {} : { signal }),
    })
    const found = map.problem ?? mountedAt(mounts, partition) ?? (await raidAtEnd(volume, signal))
    volumes.push({ partition, offset, sizeBytes, map, problem: found })
  }
  return { sizeBytes: table.sizeBytes, table, volumes }
}

/** A hostile table lists tens of thousands, and looking at each takes time. */
function withFewPartitions(table: PartitionTable): PartitionTable {
  if (table.partitions.length <= MAX_PARTITIONS) return table
  const message = `The table lists ${table.partitions.length} partitions, more than ${MAX_PARTITIONS}.`
  return {
    ...table,
    isTrustworthy: false,
    problems: [...table.problems, problem('error', 'too-many-partitions', message)],
  }
}

/** The partitions that can hold a filesystem, as they lie on the disk; undefined stands for the whole disk. */
function volumeRanges(table: PartitionTable): readonly (Partition | undefined)[] {
  if (!table.isTrustworthy || table.sizeBytes === 0) return []
  if (table.kind === 'none') return [undefined]
  return table.partitions
    .filter((partition) => partition.kind !== 'extended' && endOf(partition) <= table.sizeBytes)
    .sort((a, b) => a.offset - b.offset)
}

function mountedAt(mounts: Mounts | undefined, partition: Partition | undefined): SurveyedVolume['problem'] {
  const path = mounts?.disk ?? (partition && mounts?.partitions.get(partition.number))
  return path === undefined ? undefined : { code: 'mounted', message: `it is mounted for writing at ${path}` }
}
