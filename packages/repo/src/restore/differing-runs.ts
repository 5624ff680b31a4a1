import type { ByteRange } from '../api/snapshot-types.ts'
import { BLOCK_BYTES } from '../format/limits.ts'

/**
 * The longest runs of blocks of `wanted` that differ from `present`, which may be shorter: what it lacks differs.
 * Offsets count from the start of both.
 */
export function* differingRuns(wanted: Uint8Array, present: Uint8Array): Generator<ByteRange> {
  if (Buffer.compare(wanted, present) === 0) return
  let from = -1
  for (let at = 0; at < wanted.length; at += BLOCK_BYTES) {
    const end = Math.min(at + BLOCK_BYTES, wanted.length)
    const isSame = Buffer.compare(wanted.subarray(at, end), present.subarray(at, end)) === 0
    if (!isSame && from < 0) from = at
    if (isSame && from >= 0) {
      yield { offset: from, length: at - from }
      from = -1
    }
  }
  if (from >= 0) yield { offset: from, length: wanted.length - from }
}
