import { type Extent, type ExtentKind, PlatterError } from '@platter/core'
import { BLOCK_BYTES, MIN_HOLE_BYTES } from '../format/limits.ts'
import { RUN, type RunKind } from '../format/tree-node.ts'
import type { RegionRange, RegionTask } from './region-task.ts'

/** A region to be encoded, or regions that need no encoding. */
export type PlanItem =
  | { readonly type: 'task'; readonly task: RegionTask }
  | { readonly type: 'blank'; readonly kind: RunKind; readonly regions: number; readonly bytes: number }

/** Divides an image into regions, in order; whole regions without data become one item however many they are. */
export async function* planRegions(
  extents: AsyncIterable<Extent>,
  sizeBytes: number,
  regionBytes: number,
): AsyncGenerator<PlanItem> {
  let ranges: RegionRange[] = []
  let position = 0
  for await (const range of alignRanges(extents, sizeBytes)) {
    const end = range.offset + range.length
    while (position < end) {
      const regionStart = Math.floor(position / regionBytes) * regionBytes
      const atBorder = position === regionStart
      const blankRegions =
        atBorder && range.kind !== RUN.stored ? wholeRegions(position, end, sizeBytes, regionBytes) : 0
      if (blankRegions > 0) {
        const blankEnd = Math.min(sizeBytes, position + blankRegions * regionBytes)
        yield { type: 'blank', kind: range.kind, regions: blankRegions, bytes: blankEnd - position }
        position = blankEnd
        continue
      }
      const regionEnd = Math.min(sizeBytes, regionStart + regionBytes)
      const to = Math.min(end, regionEnd)
      // What a region border leaves of a hole may be too short for one, and is read: zeros that are known and zeros
      // that are found must come to the same runs.
      const isRemnant =
        range.kind === RUN.hole && to - position < MIN_HOLE_BYTES && to - position < regionEnd - regionStart
      ranges.push({ offset: position, length: to - position, kind: isRemnant ? RUN.stored : range.kind })
      position = to
      if (position === regionEnd) {
        const region = regionStart / regionBytes
        yield { type: 'task', task: { region, offset: regionStart, length: regionEnd - regionStart, ranges } }
        ranges = []
      }
    }
  }
}

/** How many whole regions, the last of an image counting as whole, lie between two offsets. */
function wholeRegions(from: number, to: number, sizeBytes: number, regionBytes: number): number {
  return to === sizeBytes ? Math.ceil((to - from) / regionBytes) : Math.floor((to - from) / regionBytes)
}

const RUN_OF: Readonly<Record<ExtentKind, RunKind>> = { data: RUN.stored, hole: RUN.hole, unused: RUN.unused }

/**
 * Turns a source's extents into ranges on block borders. A block that is data in part is read whole; stretches
 * without data that are too short to be holes are read too.
 *
 * @throws ERR_INVALID_ARGUMENT when the extents do not ascend without gaps from 0 to the end of the image.
 */
async function* alignRanges(extents: AsyncIterable<Extent>, sizeBytes: number): AsyncGenerator<RegionRange> {
  let done = 0
  for await (const { offset, length, kind } of mergeExtents(extents, sizeBytes)) {
    if (kind === 'data') continue
    const end = offset + length
    const from = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES
    const to = end === sizeBytes ? end : Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES
    if (to - from < MIN_HOLE_BYTES) continue
    if (from > done) yield { offset: done, length: from - done, kind: RUN.stored }
    yield { offset: from, length: to - from, kind: RUN_OF[kind] }
    done = to
  }
  if (done < sizeBytes) yield { offset: done, length: sizeBytes - done, kind: RUN.stored }
}

async function* mergeExtents(extents: AsyncIterable<Extent>, sizeBytes: number): AsyncGenerator<Extent> {
  let pending: Extent | undefined
  let expected = 0
  for await (const extent of extents) {
    const wrong =
      extent.offset !== expected || !(extent.length > 0) || extent.offset + extent.length > sizeBytes
    if (wrong || !Object.hasOwn(RUN_OF, extent.kind)) throw badExtents(extent.offset)
    expected = extent.offset + extent.length
    if (pending !== undefined && pending.kind === extent.kind) {
      pending = { ...pending, length: pending.length + extent.length }
      continue
    }
    if (pending !== undefined) yield pending
    pending = extent
  }
  if (expected !== sizeBytes) throw badExtents(expected)
  if (pending !== undefined) yield pending
}

function badExtents(offset: number): PlatterError {
  return new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `The source's extents do not cover the image: there is a gap, an overlap or an empty extent at byte ${offset}.`,
    { offset },
  )
}
