import { PlatterError } from '../errors.ts'
import { lz4Compress, lz4Decompress } from './lz4.ts'
import { zstdCompress, zstdCompressAvailable, zstdDecompress } from './zstd.ts'

/** How the stored bytes of a blob were made from its plaintext. The number stands in the format. */
export const CODEC: Readonly<{ none: 0; lz4: 1; zstd: 2 }> = Object.freeze({ none: 0, lz4: 1, zstd: 2 })
export type CodecName = keyof typeof CODEC
export type CodecNumber = (typeof CODEC)[CodecName]

/** True for a codec number this version can read. */
export function isCodecNumber(value: number): value is CodecNumber {
  return value === CODEC.none || value === CODEC.lz4 || value === CODEC.zstd
}

/** zstd level 1 where the runtime has it (Node >= 22.15), else lz4. */
export function defaultCodec(): CodecName {
  return zstdCompressAvailable ? 'zstd' : 'lz4'
}

/** @throws ERR_UNSUPPORTED_FEATURE when this runtime cannot compress with `codec`. */
export function assertCanCompress(codec: CodecName): void {
  if (codec === 'zstd' && !zstdCompressAvailable) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_FEATURE',
      `Node ${process.version} cannot compress with zstd; Node 22.15 or later can. Use lz4, or another Node.`,
    )
  }
}

/**
 * Compresses one blob, or says undefined when less than 1/32 would be saved: such a blob is stored as it is.
 * `input` is only read; the result is memory of its own.
 */
export function compress(codec: CodecName, input: Uint8Array): Uint8Array | undefined {
  if (codec === 'none' || input.length < MIN_COMPRESS_BYTES) return undefined
  const output = codec === 'lz4' ? lz4Compress(input) : zstdCompress(input)
  return output.length <= input.length - (input.length >>> 5) ? output : undefined
}

/** Shorter blobs are not worth a compressor's overhead. */
const MIN_COMPRESS_BYTES = 64

/**
 * Undoes {@link compress}. The declared length bounds the memory used, whatever the stored bytes claim.
 *
 * @param rawLength plaintext length that the directory or index declares.
 * @param borrows nobody else looks at the memory around `stored` meanwhile: a few bytes before it may be changed during
 * the call, and are as they were after it. It is faster.
 * @returns exactly `rawLength` bytes; for codec none `stored` itself.
 * @throws ERR_CORRUPT_BLOB when the bytes are not such a compression of `rawLength` bytes.
 */
export function decompress(
  codec: CodecNumber,
  stored: Uint8Array,
  rawLength: number,
  borrows = false,
): Uint8Array {
  let raw: Uint8Array
  try {
    raw =
      codec === CODEC.none
        ? stored
        : codec === CODEC.lz4
          ? lz4Decompress(stored, rawLength, borrows)
          : zstdDecompress(stored, rawLength)
  } catch (cause) {
    throw new PlatterError(
      'ERR_CORRUPT_BLOB',
      'A stored blob cannot be decompressed; it was altered or damaged.',
      { cause },
    )
  }
  if (raw.length !== rawLength) {
    throw new PlatterError(
      'ERR_CORRUPT_BLOB',
      'A stored blob decompresses to another length than declared.',
      {
        expected: rawLength,
        actual: raw.length,
      },
    )
  }
  // Not a Buffer, whose slice() would share its memory where that of other bytes copies.
  return raw instanceof Buffer ? new Uint8Array(raw.buffer, raw.byteOffset, raw.length) : raw
}
