import { bitsAt, blockBytes } from './bits.ts'
import { MAX_BLOCK_BYTES } from './frame.ts'
import { decodeStream, type HuffmanTable, readHuffmanTable } from './huffman.ts'

/** The literals of the block in work. */
export const literals: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_BLOCK_BYTES)

/** What was read: how many literals there are, where their section ends, and the table for blocks that bring none. */
export interface ReadLiterals {
  readonly count: number
  readonly end: number
  readonly huffman: HuffmanTable | undefined
}

const KIND = { raw: 0, repeated: 1, compressed: 2, treeless: 3 } as const

/**
 * Decodes the literals section at byte `at` of the block into {@link literals}.
 *
 * Source: RFC 8878, section 3.1.1.3.1.
 *
 * @param maxCount most of them that the frame has room for.
 * @throws RangeError
 */
export function readLiterals(
  at: number,
  end: number,
  maxCount: number,
  huffman: HuffmanTable | undefined,
): ReadLiterals {
  if (at >= end) throw new RangeError('A block of the zstd frame is empty.')
  const kind = blockBytes[at]! & 3
  const format = (blockBytes[at]! >>> 2) & 3
  if (kind === KIND.compressed || kind === KIND.treeless)
    return readCompressed(at, end, maxCount, kind === KIND.treeless ? huffman : undefined)
  const headBytes = (format & 1) === 0 ? 1 : format === 1 ? 2 : 3
  const count = (format & 1) === 0 ? blockBytes[at]! >>> 3 : bitsAt(at * 8 + 4, format === 1 ? 12 : 20)
  const contentAt = at + headBytes
  const sectionEnd = contentAt + (kind === KIND.raw ? count : 1)
  assertFits(count, maxCount, sectionEnd, end)
  if (kind === KIND.raw) literals.set(blockBytes.subarray(contentAt, sectionEnd))
  else literals.fill(blockBytes[contentAt]!, 0, count)
  return { count, end: sectionEnd, huffman }
}

function readCompressed(
  at: number,
  end: number,
  maxCount: number,
  known: HuffmanTable | undefined,
): ReadLiterals {
  const kind = blockBytes[at]! & 3
  const format = (blockBytes[at]! >>> 2) & 3
  const bits = format < 2 ? 10 : format === 2 ? 14 : 18
  const count = bitsAt(at * 8 + 4, bits)
  const contentAt = at + (format < 2 ? 3 : format === 2 ? 4 : 5)
  const sectionEnd = contentAt + bitsAt(at * 8 + 4 + bits, bits)
  assertFits(count, maxCount, sectionEnd, end)
  if (kind === KIND.treeless && known === undefined)
    throw new RangeError('A block of the zstd frame needs a Huffman table that there is not.')
  const read =
    known === undefined ? readHuffmanTable(contentAt, sectionEnd) : { table: known, end: contentAt }
  if (format === 0) decodeStream(read.table, read.end, sectionEnd, literals, 0, count)
  else decodeFourStreams(read.table, read.end, sectionEnd, count)
  return { count, end: sectionEnd, huffman: read.table }
}

function decodeFourStreams(table: HuffmanTable, at: number, end: number, count: number): void {
  const each = (count + 3) >>> 2
  let from = at + 6
  if (from > end || 3 * each > count)
    throw new RangeError('Literals of the zstd frame do not fit their length.')
  for (let stream = 0; stream < 4; stream++) {
    const to = stream === 3 ? end : from + bitsAt((at + 2 * stream) * 8, 16)
    if (to > end) throw new RangeError('Literals of the zstd frame are cut short.')
    decodeStream(table, from, to, literals, stream * each, stream === 3 ? count : (stream + 1) * each)
    from = to
  }
}

function assertFits(count: number, maxCount: number, sectionEnd: number, end: number): void {
  if (count > maxCount) throw new RangeError('A block of the zstd frame becomes longer than it may.')
  if (sectionEnd > end) throw new RangeError('Literals of the zstd frame are cut short.')
}
