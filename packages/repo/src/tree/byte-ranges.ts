import type { ByteRange } from '../api/snapshot-types.ts'

/** Ranges in ascending order, with those that touch or overlap as one. */
export function mergedRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = []
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1)
    if (last === undefined || offset > last.offset + last.length) merged.push({ offset, length })
    else last.length = Math.max(last.length, offset + length - last.offset)
  }
  return merged
}

/** Whether two lists name the same ranges in the same order. */
export function equalRanges(a: readonly ByteRange[], b: readonly ByteRange[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ offset, length }, i) => b[i]!.offset === offset && b[i]!.length === length)
  )
}

/** Whether any of the ranges has a byte in common with this one. */
export function intersects(ranges: readonly ByteRange[], offset: number, length: number): boolean {
  return ranges.some((range) => range.offset < offset + length && offset < range.offset + range.length)
}

/** Whether one of the ranges has all bytes of this one. */
export function liesWithin(ranges: readonly ByteRange[], offset: number, length: number): boolean {
  return ranges.some((range) => range.offset <= offset && offset + length <= range.offset + range.length)
}
