import type {
  DiskDescription,
  DiskPolicy,
  DiskProblem,
  FilesystemDescription,
  PartitionDescription,
  TableDescription,
  VolumeDescription,
} from '@platter/core'
import type { FilesystemIdentity } from '../filesystems/filesystem-map.ts'
import type { Partition, PartitionTable } from '../partitions/partition-table.ts'
import type { DiskSurvey, SurveyedVolume } from './survey-disk.ts'
import { type UnusedKind, unusedRangesOf } from './unused-ranges.ts'
import { usageOf } from './usage.ts'

/** What a description takes at most; labels are far shorter, and so are messages but for hostile disks. */
const MAX_TEXT_LENGTH = 1024
const MAX_PROBLEMS = 64
const MAX_PARTITIONS = 1024

/** The description of a disk that goes into a snapshot. */
export function describeDisk(survey: DiskSurvey, policy: DiskPolicy): DiskDescription {
  const { table, volumes, sizeBytes } = survey
  const whole = volumes.find(({ partition }) => partition === undefined)
  const describe = (volume: SurveyedVolume): VolumeDescription => describeVolume(volume, policy, sizeBytes)
  return {
    policy,
    table: describeTable(table),
    partitions: table.partitions.slice(0, MAX_PARTITIONS).map((partition) => {
      const volume = volumes.find((one) => one.partition?.number === partition.number)
      return {
        ...describePartition(partition),
        ...(volume === undefined ? {} : { volume: describe(volume) }),
      }
    }),
    ...(whole === undefined ? {} : { volume: describe(whole) }),
    usage: usageOf(survey),
  }
}

function describeTable(table: PartitionTable): TableDescription {
  const id = 'diskGuid' in table ? table.diskGuid : 'signature' in table ? table.signature : undefined
  // Errors first: a table with many problems must not lose the one that made it useless.
  const problems = [...table.problems].sort(
    (a, b) => Number(b.severity === 'error') - Number(a.severity === 'error'),
  )
  return {
    kind: table.kind,
    sectorBytes: table.sectorBytes,
    ...optional('id', id),
    problems: problems
      .slice(0, MAX_PROBLEMS)
      .map(({ code, severity, message }) => ({ code, severity, message: clipped(message) })),
  }
}

function describePartition(partition: Partition): PartitionDescription {
  const { number, kind, offset, length, type, typeName, partUuid, name, bootable } = partition
  return {
    number,
    kind,
    offset,
    length,
    type,
    ...optional('typeName', typeName),
    partUuid,
    ...optional('name', name),
    bootable,
  }
}

function describeVolume(volume: SurveyedVolume, policy: DiskPolicy, diskBytes: number): VolumeDescription {
  const { filesystem, bytes } = volume.map
  const problem = volume.problem
  const leftOut = new Map<UnusedKind, number>()
  for (const { use, length } of unusedRangesOf(volume, policy, diskBytes))
    leftOut.set(use, (leftOut.get(use) ?? 0) + length)
  return {
    ...(filesystem === undefined ? {} : { filesystem: describeFilesystem(filesystem) }),
    ...(problem === undefined ? { usedBytes: bytes.used } : {}),
    leftOut: [...leftOut].map(([use, bytes]) => ({ use, bytes })),
    ...(problem === undefined ? {} : { problem: describeProblem(problem) }),
  }
}

function describeFilesystem({
  type,
  label,
  uuid,
  blockBytes,
  sizeBytes,
}: FilesystemIdentity): FilesystemDescription {
  return {
    type,
    ...optional('label', label),
    ...optional('uuid', uuid),
    blockBytes: countable(blockBytes),
    sizeBytes: countable(sizeBytes),
  }
}

/** A size, or 0 for what a damaged head says that cannot be one. */
function countable(size: number): number {
  return Number.isSafeInteger(size) && size >= 0 ? size : 0
}

function describeProblem({ code, message }: DiskProblem): DiskProblem {
  return { code, message: clipped(message) }
}

/** A text, where there is one. */
function optional<Field extends string>(
  field: Field,
  text: string | undefined,
): { readonly [key in Field]?: string } {
  if (text === undefined || text === '') return {}
  return { [field]: clipped(text) } as { readonly [key in Field]: string }
}

function clipped(text: string): string {
  return text.slice(0, MAX_TEXT_LENGTH)
}
