import { BLOCK_BYTES } from '../format/limits.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'

/**
 * Image bytes restored in one go. Small enough that all workers are busy although a stream is written in order, and
 * that little waits in memory; large enough that a store is asked for megabytes at a time.
 */
const SLICE_BYTES = 8 * 1024 * 1024

/** A part of a region: the runs `firstRun` to before `endRun` of its leaf. */
export interface RegionSlice {
  readonly firstRun: number
  readonly endRun: number
  /** Number of stored runs in the leaf before the first of this slice. */
  readonly firstStored: number
  /** Image offset and length in bytes. */
  readonly offset: number
  readonly length: number
}

/**
 * Divides a region into slices of about {@link SLICE_BYTES} of stored bytes. All but the region's end lie on block
 * borders, so that each block is digested in one place; where chunks end elsewhere, slices are longer.
 *
 * @param offset image offset of the region.
 */
export function sliceRegion(leaf: TreeNode, offset: number): RegionSlice[] {
  const slices: RegionSlice[] = []
  let first = { run: 0, stored: 0, at: offset }
  let at = offset
  let stored = 0
  let storedBytes = 0
  for (let run = 0; run < leaf.kinds.length; run++) {
    const length = leaf.spans[run]!
    at += length
    if (leaf.kinds[run] === RUN.stored) {
      stored++
      storedBytes += length
    }
    const isLast = run === leaf.kinds.length - 1
    if (!isLast && (storedBytes < SLICE_BYTES || at % BLOCK_BYTES !== 0)) continue
    slices.push({
      firstRun: first.run,
      endRun: run + 1,
      firstStored: first.stored,
      offset: first.at,
      length: at - first.at,
    })
    first = { run: run + 1, stored, at }
    storedBytes = 0
  }
  return slices
}
