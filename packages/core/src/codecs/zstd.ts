import * as zlib from 'node:zlib'
import { decodeFrame } from './zstd/decode-frame.ts'
import { readFrame } from './zstd/frame.ts'

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
  const header = readFrame(frame, rawLength)
  if (typeof zlib.zstdDecompressSync !== 'function') return decodeFrame(frame, header, rawLength)
  return zlib.zstdDecompressSync(frame, {
    chunkSize: Math.max(64, rawLength),
    maxOutputLength: Math.max(1, rawLength),
  })
}
