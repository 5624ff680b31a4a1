import type { FoundInput } from './fuzz-loop.ts'
import { Finding, type FuzzTarget, verdict } from './target.ts'

/**
 * Leaves pieces out of an input, and zeros bytes, as long as the same finding comes of it.
 *
 * @param before called with each input before it is tried.
 */
export async function minimise(
  target: FuzzTarget,
  { input, what }: FoundInput,
  before: (input: Uint8Array) => void,
): Promise<Uint8Array> {
  const isFinding = async (candidate: Uint8Array): Promise<boolean> => {
    before(candidate)
    const outcome = await verdict(target, candidate)
    return outcome instanceof Finding && outcome.message === what
  }
  let smallest = input
  for (let size = smallest.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < smallest.length; ) {
      const candidate = new Uint8Array([...smallest.subarray(0, at), ...smallest.subarray(at + size)])
      if (await isFinding(candidate)) smallest = candidate
      else at += size
    }
  }
  for (let at = 0; at < smallest.length; at++) {
    if (smallest[at] === 0) continue
    const candidate = smallest.slice()
    candidate[at] = 0
    if (await isFinding(candidate)) smallest = candidate
  }
  return smallest
}
