/** What a frame says of itself, and where its blocks are. */
export interface FrameHeader {
  /** Where the first block begins. */
  readonly blocksAt: number
  /** Longest block, stored and as plaintext. */
  readonly maxBlockBytes: number
}

/** A block: its kind, its content as it is stored, and how long it says that is (for `repeated`, what it becomes). */
export interface Block {
  readonly kind: BlockKind
  readonly isLast: boolean
  readonly declaredBytes: number
  readonly at: number
  readonly end: number
}

export const BLOCK_KIND = { raw: 0, repeated: 1, compressed: 2 } as const
type BlockKind = (typeof BLOCK_KIND)[keyof typeof BLOCK_KIND]

/** Longest block of any frame, stored and as plaintext (RFC 8878, section 3.1.1.2.4). */
export const MAX_BLOCK_BYTES: number = 128 * 1024

const MAGIC = 0xfd2fb528
const BLOCK_HEADER_BYTES = 3
const CHECKSUM_BYTES = 4
/**
 * Every block may bring tables that take much longer to build than it is long. Compressors make blocks of many hundred
 * bytes; with so many as this, frames take a time that is bounded by their plaintext.
 */
const MIN_BYTES_PER_BLOCK = 512
const MORE_BLOCKS = 64

/**
 * Refuses, before a decoder allocates or begins, all but one whole frame that declares exactly `rawLength` bytes.
 *
 * Source: RFC 8878, section 3.1.1.
 *
 * @throws RangeError
 */
export function readFrame(frame: Uint8Array, rawLength: number): FrameHeader {
  const view = viewOf(frame)
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) throw new RangeError('Not a zstd frame.')
  const descriptor = view.getUint8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  if ((descriptor & 0x08) !== 0) throw new RangeError('The zstd frame is of a later version.')
  if ((descriptor & 0x03) !== 0) throw new RangeError('The zstd frame needs a dictionary.')
  const sizeAt = 5 + (isSingleSegment ? 0 : 1)
  const sizeFlag = descriptor >>> 6
  const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag
  const blocksAt = sizeAt + sizeBytes
  if (sizeBytes === 0 || frame.length < blocksAt) throw new RangeError('The zstd frame declares no size.')
  if (declaredSize(view, sizeAt, sizeBytes) !== rawLength)
    throw new RangeError('The zstd frame declares another size than the index.')
  const windowBytes = isSingleSegment ? rawLength : windowSize(view.getUint8(5))
  const end = endOfBlocks(frame, blocksAt, MORE_BLOCKS + rawLength / MIN_BYTES_PER_BLOCK)
  if (end + ((descriptor & 0x04) === 0 ? 0 : CHECKSUM_BYTES) !== frame.length)
    throw new RangeError('The zstd frame does not end where its bytes do.')
  return { blocksAt, maxBlockBytes: Math.min(windowBytes, MAX_BLOCK_BYTES) }
}

function declaredSize(view: DataView, at: number, bytes: number): number {
  if (bytes === 1) return view.getUint8(at)
  if (bytes === 2) return view.getUint16(at, true) + 256
  return bytes === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true))
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3))
  return base + (base / 8) * (descriptor & 7)
}

function endOfBlocks(frame: Uint8Array, blocksAt: number, maxBlocks: number): number {
  let at = blocksAt
  for (let count = 0; count < maxBlocks; count++) {
    const { isLast, end } = readBlock(frame, at)
    if (isLast) return end
    at = end
  }
  throw new RangeError('The zstd frame has more blocks than its size can need.')
}

/** The block at `at`. @throws RangeError when it is none, or is not all there. */
export function readBlock(frame: Uint8Array, at: number): Block {
  const contentAt = at + BLOCK_HEADER_BYTES
  if (contentAt > frame.length) throw new RangeError('The zstd frame is cut short.')
  const header = frame[at]! | (frame[at + 1]! << 8) | (frame[at + 2]! << 16)
  const kind = (header >>> 1) & 3
  const declaredBytes = header >>> 3
  if (kind === 3 || declaredBytes > MAX_BLOCK_BYTES)
    throw new RangeError('The zstd frame has an impossible block.')
  const end = contentAt + (kind === BLOCK_KIND.repeated ? 1 : declaredBytes)
  if (end > frame.length) throw new RangeError('The zstd frame is cut short.')
  return { kind: kind as BlockKind, isLast: (header & 1) !== 0, declaredBytes, at: contentAt, end }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
