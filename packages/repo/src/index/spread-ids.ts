import { randomFillSync } from 'node:crypto'
import { HASH_BYTES } from '@platter/core'

const ID_WORDS = HASH_BYTES / 4
/** Numbers for {@link spreadId} that nobody can foresee: a factor for each word of an id, and what it begins with. */
export function drawSpreadKeys(): Int32Array {
  const keys = new Int32Array(ID_WORDS + 1)
  randomFillSync(keys)
  // Only odd factors lose nothing.
  for (let i = 0; i < ID_WORDS; i++) keys[i]! |= 1
  return keys
}

/**
 * Where in a table an id belongs: 32 bits, as good as random whatever the ids are. Ids are hashes and would do by
 * themselves, were it not for those that a hostile index makes up: all in one place of a table they would make each lookup
 * as long as the table.
 *
 * @param words memory of the id, which begins at word `at`.
 * @param keys what {@link drawSpreadKeys} gave, from word `keysAt` on; the same for a whole table.
 */
export function spreadId(words: Int32Array, at: number, keys: Int32Array, keysAt: number): number {
  let h = keys[keysAt + ID_WORDS]!
  for (let i = 0; i < ID_WORDS; i++) {
    h = Math.imul(h ^ words[at + i]!, keys[keysAt + i]!)
    h ^= h >>> 16
  }
  return h >>> 0
}
