import type { ByteRange } from '../partitions/partition-table.ts'

/** Ascending ranges that cover the same bytes without overlap; empty ones are left out. */
export function mergedRanges(ranges: readonly ByteRange[]): ByteRange[] {
  const merged: { offset: number; length: number }[] = []
  for (const { offset, length } of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const last = merged.at(-1)
    const end = offset + length
    if (length === 0) continue
    if (last !== undefined && offset <= last.offset + last.length)
      last.length = Math.max(last.length, end - last.offset)
    else merged.push({ offset, length })
  }
  return merged
}

/** The parts of a range that lie in none of `except`, which is ascending and without overlap. */
export function* without(range: ByteRange, except: readonly ByteRange[]): Generator<ByteRange> {
  const end = range.offset + range.length
  let at = range.offset
  for (const one of except) {
    if (one.offset >= end) break
    if (one.offset > at) yield { offset: at, length: one.offset - at }
    at = Math.max(at, one.offset + one.length)
  }
  if (at < end) yield { offset: at, length: end - at }
}

/** What two ranges have in common; undefined when that is nothing. */
export function overlapOf(a: ByteRange, b: ByteRange): ByteRange | undefined {
  const offset = Math.max(a.offset, b.offset)
  const end = Math.min(a.offset + a.length, b.offset + b.length)
  return offset < end ? { offset, length: end - offset } : undefined
}
