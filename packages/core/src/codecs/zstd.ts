import * as zlib from 'node:zlib'
import { decompress as portableDecompress } from 'fzstd'

/** True on runtimes whose zlib has zstd (Node >= 22.15). */
export const zstdCompressAvailable: boolean = typeof zlib.zstdCompressSync === 'function'

const LEVEL = 1

/** One zstd frame at level 1, with its content size, without a checksum (the chunk id is the checksum). */
export function zstdCompress(input: Uint8Array): Uint8Array {
  return zlib.zstdCompressSync(input, {
    // Output is collected in pieces of this size; half the input holds most results in one piece.
    chunkSize: Math.max(1024, input.length >>> 1),
    params: { [zlib.constants.ZSTD_c_compressionLevel]: LEVEL },
  })
}

/** Undoes {@link zstdCompress}; throws on anything that is not one frame of `rawLength` bytes. */
export function zstdDecompress(frame: Uint8Array, rawLength: number): Uint8Array {
  assertFrame(frame, rawLength)
  if (typeof zlib.zstdDecompressSync === 'function') {
    return zlib.zstdDecompressSync(frame, {
      chunkSize: Math.max(64, rawLength),
      maxOutputLength: Math.max(1, rawLength),
    })
  }
  const output = new Uint8Array(rawLength)
  // fzstd compares its output with a number, for which a typed array would become a text, byte by byte.
  Object.defineProperty(output, Symbol.toPrimitive, { value: () => 0 })
  return portableDecompress(frame, output)
}

const MAGIC = 0xfd2fb528

/**
 * Refuses a frame that does not declare exactly `rawLength` bytes, before a decoder allocates by its header.
 *
 * Source: RFC 8878, section 3.1.1.1.
 */
function assertFrame(frame: Uint8Array, rawLength: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) throw new RangeError('Not a zstd frame.')
  const descriptor = view.getUint8(4)
  const singleSegment = (descriptor & 0x20) !== 0
  if ((descriptor & 0x03) !== 0) throw new RangeError('The zstd frame needs a dictionary.')
  const sizeField = 5 + (singleSegment ? 0 : 1)
  const sizeFlag = descriptor >>> 6
  const sizeBytes = sizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << sizeFlag
  if (sizeBytes === 0 || frame.length < sizeField + sizeBytes)
    throw new RangeError('The zstd frame declares no size.')
  const declared =
    sizeBytes === 1
      ? view.getUint8(sizeField)
      : sizeBytes === 2
        ? view.getUint16(sizeField, true) + 256
        : sizeBytes === 4
          ? view.getUint32(sizeField, true)
          : Number(view.getBigUint64(sizeField, true))
  if (declared !== rawLength) throw new RangeError('The zstd frame declares another size than the index.')
}
