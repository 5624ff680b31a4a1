/** Numbers that look random, the same for the same seed (xorshift). */
export function numbersOf(seed: number): (end: number) => number {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1
  return (end) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % end
  }
}

/** Bytes as compressors like and dislike them: letters of a small alphabet, runs, repeats from near and far. */
export function sampleBytes(seed: number, length: number): Uint8Array {
  const below = numbersOf(seed)
  const bytes = new Uint8Array(length)
  const letters = 2 + below(below(2) === 0 ? 250 : 16)
  for (let at = 0; at < length; ) {
    const kind = below(7)
    const end = Math.min(length, at + 1 + below(below(16) === 0 ? 5000 : 40))
    const distance = 1 + below(Math.min(Math.max(1, at), below(2) === 0 ? 100 : 1_000_000))
    if (kind === 0) bytes.fill(below(letters), at, end)
    for (let i = at; kind > 0 && i < end; i++)
      bytes[i] = kind < 4 && at > 0 ? bytes[i - distance]! : Math.min(below(letters), below(letters))
    at = end
  }
  return bytes
}
