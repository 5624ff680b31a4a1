import type { Extent } from '@platter/core'

/**
 * Marks as unused what of ascending extents lies in ascending ranges. Holes among them become unused as well: so what is
 * left out of a disk is the same whether it lies in a sparse file or on a device that does not tell holes.
 */
export async function* markUnused(
  extents: AsyncIterable<Extent>,
  ranges: Iterator<{ readonly offset: number; readonly length: number }>,
): AsyncGenerator<Extent> {
  let range = ranges.next()
  for await (const extent of extents) {
    const end = extent.offset + extent.length
    for (let at = extent.offset; at < end; ) {
      while (!range.done && range.value.offset + range.value.length <= at) range = ranges.next()
      const { offset, length } = range.done ? { offset: end, length: 0 } : range.value
      const isUnused = offset <= at
      const to = Math.min(end, isUnused ? offset + length : offset)
      yield { offset: at, length: to - at, kind: isUnused ? 'unused' : extent.kind }
      at = to
    }
  }
}
