import type { DiskPolicy } from '@platter/core'
import type { BlockUse } from '../filesystems/filesystem-map.ts'
import type { DiskSurvey, SurveyedVolume } from './survey-disk.ts'

/** Backups look at images in blocks of this size, and read what is shorter than a hole, so that is kept here too. */
const BLOCK_BYTES = 4096
const LEAST_BYTES = 64 * 1024

/** What may be left out. */
export type UnusedKind = Exclude<BlockUse, 'used'>

const LEFT_OUT: Readonly<Record<DiskPolicy, readonly BlockUse[]>> = {
  used: ['free', 'swap'],
  'used-and-swap': ['free'],
  exact: [],
}

/** A range of a disk that is left out. */
export interface UnusedRange {
  readonly offset: number
  readonly length: number
  readonly use: UnusedKind
}

/** What a policy leaves out of a volume: ranges of the disk, ascending, of whole blocks. */
export function* unusedRangesOf(
  volume: SurveyedVolume,
  policy: DiskPolicy,
  diskBytes: number,
): Generator<UnusedRange> {
  const uses = LEFT_OUT[policy]
  if (volume.problem !== undefined || uses.length === 0) return
  for (const { offset, length, use } of volume.map.extents()) {
    if (use === 'used' || !uses.includes(use)) continue
    const end = volume.offset + offset + length
    const from = Math.ceil((volume.offset + offset) / BLOCK_BYTES) * BLOCK_BYTES
    const to = end === diskBytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES
    if (to - from >= LEAST_BYTES) yield { offset: from, length: to - from, use }
  }
}

/** The same of all volumes of a disk. */
export function* unusedRanges(survey: DiskSurvey, policy: DiskPolicy): Generator<UnusedRange> {
  for (const volume of survey.volumes) yield* unusedRangesOf(volume, policy, survey.sizeBytes)
}
