import { blockBytes, MARGIN_BYTES } from './bits.ts'
import { BLOCK_KIND, type FrameHeader, readBlock } from './frame.ts'
import type { HuffmanTable } from './huffman.ts'
import { readLiterals } from './literals.ts'
import { type Output, runSequences, type SequenceTables } from './sequences.ts'

/** What blocks leave to the blocks behind them. */
interface Tables {
  huffman: HuffmanTable | undefined
  sequences: SequenceTables | undefined
}

/**
 * Decodes a frame, for runtimes that cannot. Work and memory are bounded by `rawLength` and the length of the frame,
 * whatever stands in it: every length is held against what is left before anything is done about it. A checksum is not
 * looked at; whoever asks has a better one.
 *
 * Source: RFC 8878.
 *
 * @param header of this frame, see `readFrame`.
 * @throws RangeError when it is no frame of exactly `rawLength` bytes.
 */
export function decodeFrame(frame: Uint8Array, header: FrameHeader, rawLength: number): Uint8Array {
  const output: Output = { bytes: new Uint8Array(rawLength), at: 0, recentOffsets: Int32Array.of(1, 4, 8) }
  const tables: Tables = { huffman: undefined, sequences: undefined }
  for (let at = header.blocksAt, isLast = false; !isLast; ) {
    const block = readBlock(frame, at)
    const stored = frame.subarray(block.at, block.end)
    if (block.declaredBytes > header.maxBlockBytes)
      throw new RangeError('The zstd frame has a block that is longer than any may be.')
    const limit = Math.min(rawLength, output.at + header.maxBlockBytes)
    if (block.kind === BLOCK_KIND.compressed) decodeBlock(stored, output, limit, tables)
    else {
      const end = output.at + block.declaredBytes
      if (end > limit) throw new RangeError('A block of the zstd frame becomes longer than it may.')
      if (block.kind === BLOCK_KIND.raw) output.bytes.set(stored, output.at)
      else output.bytes.fill(stored[0]!, output.at, end)
      output.at = end
    }
    at = block.end
    isLast = block.isLast
  }
  if (output.at !== rawLength) throw new RangeError('The zstd frame is shorter than it declares.')
  return output.bytes
}

function decodeBlock(stored: Uint8Array, output: Output, limit: number, tables: Tables): void {
  blockBytes.set(stored, MARGIN_BYTES)
  const end = MARGIN_BYTES + stored.length
  const literals = readLiterals(MARGIN_BYTES, end, limit - output.at, tables.huffman)
  tables.huffman = literals.huffman
  tables.sequences = runSequences(literals.end, end, literals.count, output, limit, tables.sequences)
}
