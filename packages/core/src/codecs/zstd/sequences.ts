import { bitsAt, blockBytes, MAX_BITS, topOfBits } from './bits.ts'
import { type FseTable, fseTableOf, readFseTable, repeatedSymbolTable } from './fse-table.ts'
import { literals } from './literals.ts'

/** Tables of the codes of a sequence: lengths of literals, offsets, lengths of matches. */
export interface SequenceTables {
  readonly literalLengths: FseTable
  readonly offsets: FseTable
  readonly matchLengths: FseTable
}

/** What sequences write to. */
export interface Output {
  readonly bytes: Uint8Array
  /** Where they go on. */
  at: number
  /** The three offsets used last, for all blocks of a frame. */
  readonly recentOffsets: Int32Array
}

/** Extra bits of each code, and the least value of each. */
function codesOf(bits: readonly number[], first: number): { bits: Uint8Array; bases: Uint32Array } {
  const bases = new Uint32Array(bits.length)
  for (let code = 0, base = first; code < bits.length; base += 1 << bits[code++]!) bases[code] = base
  return { bits: Uint8Array.from(bits), bases }
}

const zeros = (count: number): number[] => new Array<number>(count).fill(0)
const LITERALS = codesOf([...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 0)
const MATCHES = codesOf(
  [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  3,
)
const MAX_OFFSET_CODE = 31

/** Tables for blocks that bring none (RFC 8878, section 3.1.1.3.2.2). */
const DEFAULTS: SequenceTables = {
  literalLengths: fseTableOf(
    [
      4,
      3,
      ...Array<number>(11).fill(2),
      1,
      1,
      1,
      ...Array<number>(9).fill(2),
      3,
      2,
      1,
      1,
      1,
      1,
      1,
      -1,
      -1,
      -1,
      -1,
    ],
    6,
  ),
  offsets: fseTableOf([1, 1, 1, 1, 1, 1, 2, 2, 2, ...Array<number>(15).fill(1), -1, -1, -1, -1, -1], 5),
  matchLengths: fseTableOf(
    [1, 4, 3, ...Array<number>(6).fill(2), ...Array<number>(37).fill(1), -1, -1, -1, -1, -1, -1, -1],
    6,
  ),
}

/**
 * Decodes the sequences section, bytes `at` to `end` of the block, and carries it out. What is left of the literals comes
 * behind it.
 *
 * Source: RFC 8878, sections 3.1.1.3.2, 3.1.1.4 and 3.1.1.5.
 *
 * @param limit where in the output the block has to have ended.
 * @param known tables of the block before.
 * @returns tables for the next block.
 * @throws RangeError
 */
export function runSequences(
  at: number,
  end: number,
  literalCount: number,
  output: Output,
  limit: number,
  known: SequenceTables | undefined,
): SequenceTables | undefined {
  const head = at < end ? blockBytes[at]! : -1
  const headBytes = head < 128 ? 1 : head < 255 ? 2 : 3
  if (head < 0 || at + headBytes > end) throw new RangeError('A block of the zstd frame is cut short.')
  const count =
    head < 128
      ? head
      : head < 255
        ? ((head - 128) << 8) | blockBytes[at + 1]!
        : bitsAt((at + 1) * 8, 16) + 0x7f00
  if (count === 0) {
    if (at + headBytes !== end)
      throw new RangeError('A block of the zstd frame is longer than what it holds.')
    appendLiterals(0, literalCount, output, limit)
    return known
  }
  const { tables, end: streamAt } = readTables(at + headBytes, end, known)
  const used = decodeSequences(tables, streamAt, end, count, literalCount, output, limit)
  appendLiterals(used, literalCount, output, limit)
  return tables
}

function appendLiterals(from: number, to: number, output: Output, limit: number): void {
  if (output.at + to - from > limit)
    throw new RangeError('A block of the zstd frame becomes longer than it may.')
  output.bytes.set(literals.subarray(from, to), output.at)
  output.at += to - from
}

function readTables(
  at: number,
  end: number,
  known: SequenceTables | undefined,
): { readonly tables: SequenceTables; readonly end: number } {
  const modes = at < end ? blockBytes[at]! : 3
  if ((modes & 3) !== 0) throw new RangeError('A block of the zstd frame has an impossible header.')
  let next = at + 1
  const table = (mode: number, name: keyof SequenceTables, maxLog: number, maxSymbol: number): FseTable => {
    if (mode === 0) return DEFAULTS[name]
    if (mode === 3) {
      if (known === undefined)
        throw new RangeError('A block of the zstd frame needs a table that there is not.')
      return known[name]
    }
    if (mode === 1) {
      const symbol = next < end ? blockBytes[next++]! : Number.POSITIVE_INFINITY
      if (symbol > maxSymbol) throw new RangeError('A table of the zstd frame has an impossible symbol.')
      return repeatedSymbolTable(symbol)
    }
    const read = readFseTable(next, end, maxLog, maxSymbol)
    next = read.end
    return read.table
  }
  const tables = {
    literalLengths: table(modes >>> 6, 'literalLengths', 9, LITERALS.bits.length - 1),
    offsets: table((modes >>> 4) & 3, 'offsets', 8, MAX_OFFSET_CODE),
    matchLengths: table((modes >>> 2) & 3, 'matchLengths', 9, MATCHES.bits.length - 1),
  }
  return { tables, end: next }
}

/** @returns how many literals were used. */
function decodeSequences(
  tables: SequenceTables,
  at: number,
  end: number,
  count: number,
  literalCount: number,
  output: Output,
  limit: number,
): number {
  const { literalLengths, offsets, matchLengths } = tables
  const [literalCells, offsetCells, matchCells] = [literalLengths.cells, offsets.cells, matchLengths.cells]
  const bottom = at * 8
  let bit = topOfBits(at, end)
  let literalState = bitsAt((bit -= literalLengths.accuracyLog), literalLengths.accuracyLog)
  let offsetState = bitsAt((bit -= offsets.accuracyLog), offsets.accuracyLog)
  let matchState = bitsAt((bit -= matchLengths.accuracyLog), matchLengths.accuracyLog)
  let used = 0
  for (let left = count; ; ) {
    const literalCell = literalCells[literalState]!
    const offsetCell = offsetCells[offsetState]!
    const matchCell = matchCells[matchState]!
    const offsetBits = offsetCell & 0xff
    // No offset within a blob is so large.
    if (offsetBits > MAX_BITS) throw new RangeError('A match in the zstd frame begins before the frame.')
    const offsetValue = (1 << offsetBits) + bitsAt((bit -= offsetBits), offsetBits)
    const matchBits = MATCHES.bits[matchCell & 0xff]!
    const matchLength = MATCHES.bases[matchCell & 0xff]! + bitsAt((bit -= matchBits), matchBits)
    const literalBits = LITERALS.bits[literalCell & 0xff]!
    const literalLength = LITERALS.bases[literalCell & 0xff]! + bitsAt((bit -= literalBits), literalBits)
    if (used + literalLength > literalCount || output.at + literalLength + matchLength > limit)
      throw new RangeError('A block of the zstd frame becomes longer than it may.')
    copyLiterals(used, literalLength, output)
    used += literalLength
    copyMatch(offsetOf(offsetValue, literalLength, output.recentOffsets), matchLength, output)
    if (--left === 0) break
    literalState =
      (literalCell >>> 16) + bitsAt((bit -= (literalCell >>> 8) & 0xff), (literalCell >>> 8) & 0xff)
    matchState = (matchCell >>> 16) + bitsAt((bit -= (matchCell >>> 8) & 0xff), (matchCell >>> 8) & 0xff)
    offsetState = (offsetCell >>> 16) + bitsAt((bit -= (offsetCell >>> 8) & 0xff), (offsetCell >>> 8) & 0xff)
    if (bit < bottom) break
  }
  if (bit !== bottom) throw new RangeError('Sequences of the zstd frame do not fit their length.')
  return used
}

/** Values 1 to 3 stand for one of the offsets used last; which one, depends on whether there were literals. */
function offsetOf(value: number, literalLength: number, recent: Int32Array): number {
  const place = value > 3 ? 3 : value - (literalLength === 0 ? 0 : 1)
  const offset = value > 3 ? value - 3 : place === 3 ? recent[0]! - 1 : recent[place]!
  if (place > 1) recent[2] = recent[1]!
  if (place > 0) recent[1] = recent[0]!
  recent[0] = offset
  return offset
}

/** Shorter copies are faster byte by byte. */
const LONG_COPY_BYTES = 48

function copyLiterals(from: number, length: number, output: Output): void {
  const { bytes, at } = output
  if (length < LONG_COPY_BYTES) for (let i = 0; i < length; i++) bytes[at + i] = literals[from + i]!
  else bytes.set(literals.subarray(from, from + length), at)
  output.at = at + length
}

/** @throws RangeError when the match begins before the frame does. */
function copyMatch(offset: number, length: number, output: Output): void {
  const { bytes, at } = output
  const from = at - offset
  if (from < 0 || offset <= 0) throw new RangeError('A match in the zstd frame begins before the frame.')
  if (length >= LONG_COPY_BYTES && offset >= length) bytes.copyWithin(at, from, from + length)
  else if (length >= LONG_COPY_BYTES && offset === 1) bytes.fill(bytes[from]!, at, at + length)
  // Byte by byte, since a match may repeat what it has just written.
  else for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + i]!
  output.at = at + length
}
