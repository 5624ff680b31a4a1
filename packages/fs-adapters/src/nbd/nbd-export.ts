import type { BlockImage, Extent, WritableImage } from '@platter/core'
import { ALLOCATION } from './wire.ts'

/** A stretch of an image, and what a metadata context says of it. */
export interface StatusRange {
  readonly length: number
  readonly flags: number
}

/** A metadata context: something a client can ask about every byte of an image. */
export interface NbdContext {
  /** Namespace and name, such as `base:allocation`. */
  readonly name: string
  /** Status of a range of the image, ascending and without gap. */
  status(offset: number, length: number, signal: AbortSignal): AsyncIterable<StatusRange>
}

/** An image as clients see it. */
export interface NbdExport {
  /** Clients ask for it by this name, or by none. */
  readonly name: string
  /** For people. */
  readonly description: string
  readonly image: BlockImage
  /** The same image, when clients may write to it. */
  readonly writable: WritableImage | undefined
  readonly contexts: readonly NbdContext[]
}

/** `base:allocation`: what is not stored is a hole, and reads as zeros. */
export function allocationContext(image: BlockImage): NbdContext {
  return {
    name: 'base:allocation',
    async *status(offset, length, signal) {
      for await (const extent of image.extents({ offset, length, signal }))
        yield { length: extent.length, flags: extent.kind === 'data' ? 0 : ALLOCATION.hole | ALLOCATION.zero }
    },
  }
}

/**
 * A context that marks ranges with flag 1 and the rest with 0, such as what changed since an earlier snapshot.
 *
 * @param ranges gives them, ascending and apart from each other; called once, when a client first asks.
 */
export function rangesContext(
  name: string,
  ranges: () => AsyncIterable<Pick<Extent, 'offset' | 'length'>>,
): NbdContext {
  let known: Promise<RangeTable> | undefined
  return {
    name,
    async *status(offset, length) {
      known ??= collect(ranges()).catch((error: unknown) => {
        known = undefined
        throw error
      })
      yield* (await known).within(offset, length)
    },
  }
}

/** Ranges as two numbers each. */
class RangeTable {
  readonly #starts: Float64Array
  readonly #ends: Float64Array

  constructor(starts: readonly number[], ends: readonly number[]) {
    this.#starts = Float64Array.from(starts)
    this.#ends = Float64Array.from(ends)
  }

  /** What lies in a range: flag 1 in the table's ranges, 0 between them. */
  *within(offset: number, length: number): Generator<StatusRange> {
    const end = offset + length
    let at = offset
    for (let i = this.#firstEndingBehind(offset); i < this.#starts.length && this.#starts[i]! < end; i++) {
      const from = Math.max(at, this.#starts[i]!)
      const to = Math.min(end, this.#ends[i]!)
      if (from > at) yield { length: from - at, flags: 0 }
      yield { length: to - from, flags: 1 }
      at = to
    }
    if (at < end) yield { length: end - at, flags: 0 }
  }

  #firstEndingBehind(offset: number): number {
    let low = 0
    let high = this.#ends.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ends[middle]! <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

async function collect(ranges: AsyncIterable<Pick<Extent, 'offset' | 'length'>>): Promise<RangeTable> {
  const starts: number[] = []
  const ends: number[] = []
  for await (const { offset, length } of ranges) {
    starts.push(offset)
    ends.push(offset + length)
  }
  return new RangeTable(starts, ends)
}
