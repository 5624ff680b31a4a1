import type { DiskSurvey } from './survey-disk.ts'

/** Parts of a disk of which it is said how much of them is in use: about as many as a terminal has columns. */
const PARTS = 128

/**
 * How much of each part of a disk is in use, from 0 to 255; 0 only when nothing is, 255 only when all is. What nothing is
 * known of counts as in use.
 */
export function usageOf({ sizeBytes, volumes }: DiskSurvey): number[] {
  const count = Math.min(PARTS, sizeBytes)
  const borders = Array.from({ length: count + 1 }, (_, i) => Math.floor((sizeBytes / count) * i))
  borders[count] = sizeBytes
  const unused = new Array<number>(count).fill(0)
  let part = 0
  for (const { offset, map, problem } of volumes) {
    if (problem !== undefined) continue
    for (const extent of map.extents()) {
      if (extent.use === 'used') continue
      const end = offset + extent.offset + extent.length
      for (let at = offset + extent.offset; at < end; ) {
        while (borders[part + 1]! <= at) part++
        const to = Math.min(end, borders[part + 1]!)
        unused[part]! += to - at
        at = to
      }
    }
  }
  return unused.map((bytes, i) => {
    const length = borders[i + 1]! - borders[i]!
    if (bytes === 0) return 255
    return bytes === length ? 0 : Math.min(254, Math.max(1, Math.round((255 * (length - bytes)) / length)))
  })
}
