import { bitsAt, blockBytes, blockView, topOfBits } from './bits.ts'
import { readFseTable } from './fse-table.ts'

/** For each number of `maxBits` bits, the symbol whose code it begins with, times 16, and the length of that code. */
export interface HuffmanTable {
  readonly cells: Uint16Array
  readonly maxBits: number
}

/** Longest code (RFC 8878, section 4.2.1). */
const MAX_CODE_BITS = 11
const MAX_SYMBOLS = 256

/**
 * Reads the description of a table, from byte `at` of the block to at most `end`.
 *
 * Source: RFC 8878, section 4.2.1.
 *
 * @throws RangeError
 */
export function readHuffmanTable(
  at: number,
  end: number,
): { readonly table: HuffmanTable; readonly end: number } {
  if (at >= end) throw new RangeError('The Huffman table of the zstd frame is cut short.')
  const head = blockBytes[at]!
  const weightsAt = at + 1
  const weightsEnd = weightsAt + (head < 128 ? head : (head - 126) >>> 1)
  if (weightsEnd > end) throw new RangeError('The Huffman table of the zstd frame is cut short.')
  const weights = new Uint8Array(MAX_SYMBOLS)
  const count =
    head < 128
      ? readCompressedWeights(weightsAt, weightsEnd, weights)
      : readPlainWeights(weightsAt, head - 127, weights)
  return { table: tableOf(weights, count), end: weightsEnd }
}

function readPlainWeights(at: number, count: number, weights: Uint8Array): number {
  for (let i = 0; i < count; i++) weights[i] = (blockBytes[at + (i >>> 1)]! >>> (i % 2 === 0 ? 4 : 0)) & 15
  return count
}

/** Two states take turns until the bits do not suffice for another. @returns how many weights there are. */
function readCompressedWeights(at: number, end: number, weights: Uint8Array): number {
  const { table, end: streamAt } = readFseTable(at, end, 6, MAX_CODE_BITS)
  const { cells, accuracyLog } = table
  const bottom = streamAt * 8
  let bit = topOfBits(streamAt, end)
  let count = 0
  let state = 0
  let other = 0
  for (let width = accuracyLog, otherWidth = accuracyLog; ; ) {
    bit -= width
    if (bit < bottom) return count
    state += bitsAt(bit, width)
    // The last weight follows from the others.
    if (count === MAX_SYMBOLS - 1) throw new RangeError('The zstd frame has more than 256 Huffman codes.')
    const cell = cells[state]!
    weights[count++] = cell & 0xff
    const following = cell >>> 16
    width = otherWidth
    otherWidth = (cell >>> 8) & 0xff
    state = other
    other = following
  }
}

/** Puts the symbols in the order of their weights, that is from the longest code to the shortest. */
function tableOf(weights: Uint8Array, count: number): HuffmanTable {
  const maxBits = completeWeights(weights, count)
  const starts = new Uint16Array(MAX_CODE_BITS + 2)
  for (let i = 0; i <= count; i++) if (weights[i]! > 0) starts[weights[i]! + 1]! += 1 << (weights[i]! - 1)
  for (let weight = 1; weight < starts.length; weight++) starts[weight]! += starts[weight - 1]!
  const cells = new Uint16Array(1 << maxBits)
  for (let symbol = 0; symbol <= count; symbol++) {
    const weight = weights[symbol]!
    if (weight === 0) continue
    const start = starts[weight]!
    starts[weight] = start + (1 << (weight - 1))
    cells.fill((symbol << 4) | (maxBits + 1 - weight), start, starts[weight])
  }
  return { cells, maxBits }
}

/** Adds the weight of the last symbol, which makes the codes fill the table. @returns bits of the longest code. */
function completeWeights(weights: Uint8Array, count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) {
    if (weights[i]! > MAX_CODE_BITS) throw new RangeError('A Huffman code of the zstd frame is too long.')
    sum += (1 << weights[i]!) >>> 1
  }
  const maxBits = 32 - Math.clz32(sum)
  const missing = (1 << maxBits) - sum
  if (sum === 0 || maxBits > MAX_CODE_BITS || (missing & (missing - 1)) !== 0)
    throw new RangeError('The Huffman codes of the zstd frame do not add up.')
  weights[count] = 32 - Math.clz32(missing)
  return maxBits
}

/**
 * Decodes one stream, bytes `at` to `end` of the block, to exactly the symbols `from` to `to` of `into`.
 *
 * @throws RangeError
 */
export function decodeStream(
  { cells, maxBits }: HuffmanTable,
  at: number,
  end: number,
  into: Uint8Array,
  from: number,
  to: number,
): void {
  const bottom = at * 8
  const mask = (1 << maxBits) - 1
  const above = 24 - maxBits
  let bit = topOfBits(at, end)
  let i = from
  // 24 bits hold two codes.
  for (; i + 1 < to && bit >= bottom; i += 2) {
    const first = bit - 24
    const bits = blockView.getUint32(first >>> 3, true) >>> (first & 7)
    const one = cells[(bits >>> above) & mask]!
    const two = cells[(bits >>> (above - (one & 15))) & mask]!
    into[i] = one >>> 4
    into[i + 1] = two >>> 4
    bit -= (one & 15) + (two & 15)
  }
  if (i < to) {
    const first = bit - 24
    const bits = blockView.getUint32(first >>> 3, true) >>> (first & 7)
    const one = cells[(bits >>> above) & mask]!
    into[i++] = one >>> 4
    bit -= one & 15
  }
  if (bit !== bottom || i !== to) throw new RangeError('Literals of the zstd frame do not fit their length.')
}
