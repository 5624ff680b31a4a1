import { TREE_FANOUT } from '../format/limits.ts'

/** Number of regions of an image. */
export function regionCount(sizeBytes: number, regionBytes: number): number {
  return Math.ceil(sizeBytes / regionBytes)
}

/** Level of a volume tree's root: 0 when one leaf describes the whole image. */
export function rootLevel(regions: number): number {
  let level = 0
  for (let nodes = regions; nodes > 1; nodes = Math.ceil(nodes / TREE_FANOUT)) level++
  return level
}

/** Regions below one node of a level; the last node of a level may have fewer. */
export function regionsPerNode(level: number): number {
  return TREE_FANOUT ** level
}
