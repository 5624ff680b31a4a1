import type { FilesystemMap, VolumeExtent } from '../filesystems/filesystem-map.ts'
import { sourceChanged } from '../sources/source-errors.ts'
import type { DiskSurvey, SurveyedVolume } from './survey-disk.ts'

/** That it cannot be looked at again says nothing, and costs no backup: without a look there would be no check at all. */
const UNDECIDED: readonly string[] = ['unreadable', 'too-costly']

/**
 * Compares what two surveys of a disk say about the volumes of which the first knows what is in use.
 *
 * @throws ERR_SOURCE_CHANGED when the second says something else.
 */
export function assertSameUse(before: DiskSurvey, after: DiskSurvey, label: string): void {
  for (const volume of before.volumes) {
    if (volume.problem !== undefined) continue
    const now = after.volumes.find(
      ({ offset, sizeBytes }) => offset === volume.offset && sizeBytes === volume.sizeBytes,
    )
    if (now?.problem !== undefined && UNDECIDED.includes(now.problem.code)) continue
    if (now !== undefined && now.problem === undefined && isSame(volume.map, now.map)) continue
    throw sourceChanged(label, `${nameOf(volume)} was written to while it was read${reasonOf(now)}`, {
      offset: volume.offset,
    })
  }
}

function nameOf({ partition, map }: SurveyedVolume): string {
  const type = map.filesystem?.type ?? 'filesystem'
  return partition === undefined ? `the ${type} on it` : `the ${type} on partition ${partition.number}`
}

function reasonOf(now: SurveyedVolume | undefined): string {
  return now?.problem === undefined ? '' : ` (${now.problem.message})`
}

function isSame(a: FilesystemMap, b: FilesystemMap): boolean {
  const [ours, theirs] = [a.extents()[Symbol.iterator](), b.extents()[Symbol.iterator]()]
  for (;;) {
    const [one, other] = [ours.next(), theirs.next()]
    if (one.done || other.done) return one.done === other.done
    if (!isSameExtent(one.value, other.value)) return false
  }
}

function isSameExtent(a: VolumeExtent, b: VolumeExtent): boolean {
  return a.offset === b.offset && a.length === b.length && a.use === b.use
}
