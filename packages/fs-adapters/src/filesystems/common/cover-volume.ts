import { assert } from '@platter/core'
import type { VolumeExtent } from '../filesystem-map.ts'

/**
 * Extents that cover a volume without gap, neighbours having different uses, from those that are not used, which
 * must ascend without overlap.
 */
export function* coverVolume(volumeBytes: number, notUsed: Iterable<VolumeExtent>): Generator<VolumeExtent> {
  let pending: VolumeExtent = { offset: 0, length: 0, use: 'used' }
  for (const extent of withGaps(volumeBytes, notUsed)) {
    if (extent.use === pending.use) {
      pending = { ...pending, length: pending.length + extent.length }
      continue
    }
    if (pending.length > 0) yield pending
    pending = extent
  }
  if (pending.length > 0) yield pending
}

/** What lies between the extents is used. */
function* withGaps(volumeBytes: number, notUsed: Iterable<VolumeExtent>): Generator<VolumeExtent> {
  let end = 0
  for (const extent of notUsed) {
    const { offset, length } = extent
    assert(
      offset >= end && length > 0 && offset + length <= volumeBytes,
      'ranges of a map ascend in the volume',
    )
    if (offset > end) yield { offset: end, length: offset - end, use: 'used' }
    yield extent
    end = offset + length
  }
  if (end < volumeBytes) yield { offset: end, length: volumeBytes - end, use: 'used' }
}
