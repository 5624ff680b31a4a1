import { PlatterError } from '@platter/core'
import type { RestoreOptions } from '../api/restore-types.ts'
import type { ByteRange } from '../api/snapshot-types.ts'

/** What of an image is restored. Plain data, which crosses threads; offsets are those of the image. */
export interface RestoreScope extends ByteRange {
  /** Left as they are on the target; ascending, without overlap. */
  readonly except: readonly ByteRange[]
  /** What was not backed up, because nothing uses it, is left as it is too. */
  readonly keepUnused: boolean
}

/**
 * What options ask for.
 *
 * @throws ERR_INVALID_ARGUMENT when ranges do not lie on the image, or are not in order.
 */
export function scopeOf(sizeBytes: number, options: RestoreOptions): RestoreScope {
  const { range = { offset: 0, length: sizeBytes }, except = [], unused = 'zero' } = options
  assertWithin(range, 0, sizeBytes)
  let end = 0
  for (const one of except) {
    assertWithin(one, end, sizeBytes)
    end = one.offset + one.length
  }
  return { offset: range.offset, length: range.length, except, keepUnused: unused === 'keep' }
}

/** The parts of `length` bytes at `offset` that are restored, ascending. */
export function* partsOf(scope: RestoreScope, offset: number, length: number): Generator<ByteRange> {
  const end = Math.min(offset + length, scope.offset + scope.length)
  let at = Math.max(offset, scope.offset)
  for (const one of scope.except) {
    if (one.offset >= end) break
    if (one.offset > at) yield { offset: at, length: one.offset - at }
    at = Math.max(at, one.offset + one.length)
  }
  if (at < end) yield { offset: at, length: end - at }
}

/** How many of `length` bytes at `offset` are restored. */
export function restoredBytes(scope: RestoreScope, offset: number, length: number): number {
  let sum = 0
  for (const part of partsOf(scope, offset, length)) sum += part.length
  return sum
}

/** How many of `length` bytes at `offset` lie in the range, whether they are restored or not. */
export function bytesInRange(scope: ByteRange, offset: number, length: number): number {
  const from = Math.max(offset, scope.offset)
  return Math.max(0, Math.min(offset + length, scope.offset + scope.length) - from)
}

function assertWithin({ offset, length }: ByteRange, from: number, to: number): void {
  const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && length >= 0
  if (isRange && offset >= from && offset <= to - length) return
  throw new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `${length} bytes at ${offset} do not lie on the image of ${to} bytes, or are not in ascending order.`,
    { offset, length },
  )
}
