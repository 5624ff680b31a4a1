import type { SourceWarning } from '../sources/source-warning.ts'
import type { DiskSurvey, SurveyedVolume } from './survey-disk.ts'

/** Types of partitions that hold no filesystem: boot loaders, and space that is kept for one. */
const WITHOUT_FILESYSTEM: ReadonlySet<string> = new Set([
  '21686148-6449-6e6f-744e-656564454649', // BIOS boot
  '9e1a2d38-c612-4316-aa26-8b49521e5a8b', // PReP boot
  '41',
  'e3c9e316-0b5c-4db8-817d-f92df00215ae', // Microsoft reserved
  '83bd6b9d-7f41-11dc-be0b-001560b84f0f', // FreeBSD boot
])

/**
 * What somebody should know who expected that only what is in use is read. Encrypted volumes are read whole too, but
 * nobody can expect otherwise, and so is an image in which nothing at all is recognised.
 */
export function surveyWarnings({ table, volumes }: DiskSurvey, path: string): SourceWarning[] {
  const error = table.problems.find(({ severity }) => severity === 'error')
  if (!table.isTrustworthy) {
    const why = error?.message ?? 'Its partition table cannot be used.'
    return [
      {
        code: 'WARN_DISK_READ_WHOLE',
        message: `All of '${path}' is read, also what may be free: ${why}`,
        path,
        reason: error?.code ?? 'unusable',
      },
    ]
  }
  return volumes.filter(isUnexpected).map((volume) => volumeWarning(volume, path))
}

function isUnexpected({ partition, problem }: SurveyedVolume): boolean {
  if (problem === undefined || problem.code === 'opaque') return false
  if (problem.code !== 'unrecognised') return true
  return partition !== undefined && !WITHOUT_FILESYSTEM.has(partition.type)
}

function volumeWarning({ partition, map, problem }: SurveyedVolume, path: string): SourceWarning {
  const what =
    partition === undefined ? `All of '${path}'` : `All of partition ${partition.number} of '${path}'`
  const type = map.filesystem === undefined ? '' : ` (${map.filesystem.type})`
  return {
    code: 'WARN_VOLUME_READ_WHOLE',
    message: `${what}${type} is read, also what may be free: ${problem?.message}.`,
    path,
    reason: problem?.code ?? 'unrecognised',
    ...(partition === undefined ? {} : { partition: partition.number }),
  }
}
