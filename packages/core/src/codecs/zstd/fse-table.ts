import { bitsAt } from './bits.ts'

/**
 * A decoding table of finite state entropy. For each state there is one number: the symbol in the lowest 8 bits, how many
 * bits lead to the next state in the 8 above, and the lowest of the next states in the rest.
 */
export interface FseTable {
  readonly cells: Uint32Array
  /** Bits of the first state. */
  readonly accuracyLog: number
}

/** Where it ends, beside what was read. */
export interface ReadFseTable {
  readonly table: FseTable
  readonly end: number
}

/** A symbol that is rarer than the table can say. */
const RARE = -1

/**
 * Reads the description of a table, from byte `at` of the block to at most `end`.
 *
 * Source: RFC 8878, section 4.1.1.
 *
 * @throws RangeError
 */
export function readFseTable(at: number, end: number, maxLog: number, maxSymbol: number): ReadFseTable {
  if (at >= end) throw new RangeError('A table of the zstd frame is cut short.')
  const accuracyLog = bitsAt(at * 8, 4) + 5
  if (accuracyLog > maxLog) throw new RangeError('A table of the zstd frame is larger than any may be.')
  const counts = new Int16Array(maxSymbol + 1)
  let bit = at * 8 + 4
  let left = 1 << accuracyLog
  let symbol = 0
  while (left > 0) {
    if (symbol > maxSymbol || bit > end * 8)
      throw new RangeError('A table of the zstd frame does not add up.')
    // Of the numbers from 0 to left + 1, the first few take a bit less than the others.
    const width = 32 - Math.clz32(left + 1)
    const short = (1 << width) - 2 - left
    const low = bitsAt(bit, width - 1)
    const whole = bitsAt(bit, width)
    const number = low < short ? low : whole < 1 << (width - 1) ? whole : whole - short
    bit += low < short ? width - 1 : width
    const count = number - 1
    left -= Math.abs(count)
    counts[symbol++] = count
    if (count !== 0) continue
    for (let more = 3; more === 3; bit += 2) {
      more = bitsAt(bit, 2)
      symbol += more
      if (symbol > maxSymbol) throw new RangeError('A table of the zstd frame has too many symbols.')
    }
  }
  const byte = (bit + 7) >>> 3
  if (byte > end) throw new RangeError('A table of the zstd frame is cut short.')
  return { table: fseTableOf(counts, accuracyLog), end: byte }
}

/**
 * The table of symbols that are so frequent; the counts add up to 2^accuracyLog.
 *
 * Source: RFC 8878, section 4.1.1.
 */
export function fseTableOf(counts: ArrayLike<number>, accuracyLog: number): FseTable {
  const size = 1 << accuracyLog
  const cells = new Uint32Array(size)
  const next = new Uint16Array(counts.length)
  let high = size
  for (let symbol = 0; symbol < counts.length; symbol++) {
    next[symbol] = Math.abs(counts[symbol]!)
    if (counts[symbol] === RARE) cells[--high] = symbol
  }
  const step = (size >>> 1) + (size >>> 3) + 3
  let state = 0
  for (let symbol = 0; symbol < counts.length; symbol++) {
    for (let left = counts[symbol]!; left > 0; left--) {
      cells[state] = symbol
      do state = (state + step) & (size - 1)
      while (state >= high)
    }
  }
  for (let i = 0; i < size; i++) {
    const symbol = cells[i]!
    const number = next[symbol]!
    next[symbol] = number + 1
    const bits = accuracyLog - (31 - Math.clz32(number))
    cells[i] = symbol | (bits << 8) | (((number << bits) - size) << 16)
  }
  return { cells, accuracyLog }
}

/** The table of one symbol that repeats. */
export function repeatedSymbolTable(symbol: number): FseTable {
  return { cells: Uint32Array.of(symbol), accuracyLog: 0 }
}
