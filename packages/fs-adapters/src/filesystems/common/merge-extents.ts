import type { VolumeExtent } from '../filesystem-map.ts'

/** Two series of ascending extents that do not overlap as one. Can be iterated as often as they can. */
export function mergeExtents(
  first: Iterable<VolumeExtent>,
  second: Iterable<VolumeExtent>,
): Iterable<VolumeExtent> {
  return {
    *[Symbol.iterator]() {
      const others = second[Symbol.iterator]()
      let other = others.next()
      for (const extent of first) {
        for (; !other.done && other.value.offset < extent.offset; other = others.next()) yield other.value
        yield extent
      }
      for (; !other.done; other = others.next()) yield other.value
    },
  }
}
