import { createRequire } from 'node:module'

interface Lz4Module {
  compressSync(data: Buffer): Buffer
  uncompressSync(data: Uint8Array): Buffer
}

let lz4Module: Lz4Module | undefined

/** Loaded at first use: a program that only opens a repository need not load native code. */
function lz4(): Lz4Module {
  lz4Module ??= createRequire(import.meta.url)('lz4-napi') as Lz4Module
  return lz4Module
}

/** The library puts the plaintext length before the block, 4 bytes little-endian; the format does not. */
const PREFIX_BYTES = 4

/** An LZ4 block (no frame, no length prefix). */
export function lz4Compress(input: Uint8Array): Uint8Array {
  const output = lz4().compressSync(Buffer.from(input.buffer, input.byteOffset, input.length))
  return output.subarray(PREFIX_BYTES)
}

/** An LZ4 byte yields at most 255 bytes of plaintext; a longer claim is a lie. */
const MAX_EXPANSION = 255
/** Plaintext that does not compress becomes longer by a byte for each 255, and a few for each block. */
const MAX_GROWTH_BYTES = 16

/**
 * Undoes {@link lz4Compress}; throws on anything that is not a block of `rawLength` bytes.
 *
 * @param borrows the few bytes before the block in its memory may be used meanwhile; that spares a copy of the block.
 */
export function lz4Decompress(block: Uint8Array, rawLength: number, borrows = false): Uint8Array {
  if (rawLength > block.length * MAX_EXPANSION) {
    throw new RangeError('The LZ4 block is too short for its declared length.')
  }
  if (block.length > rawLength + Math.ceil(rawLength / 255) + MAX_GROWTH_BYTES) {
    throw new RangeError('The LZ4 block is longer than any of its declared length.')
  }
  // The library allocates whatever the prefix says before it looks at the block, so the prefix is ours.
  if (borrows && block.byteOffset >= PREFIX_BYTES) return decompressInPlace(block, rawLength)
  const length = PREFIX_BYTES + block.length
  if (prefixed.length < length) prefixed = Buffer.allocUnsafeSlow(2 * length)
  prefixed.writeUInt32LE(rawLength, 0)
  prefixed.set(block, PREFIX_BYTES)
  return lz4().uncompressSync(prefixed.subarray(0, length))
}

function decompressInPlace(block: Uint8Array, rawLength: number): Uint8Array {
  const input = Buffer.from(block.buffer, block.byteOffset - PREFIX_BYTES, PREFIX_BYTES + block.length)
  const before = input.readUInt32LE(0)
  input.writeUInt32LE(rawLength, 0)
  try {
    return lz4().uncompressSync(input)
  } finally {
    input.writeUInt32LE(before, 0)
  }
}

/** Reused from call to call; the library copies nothing out of it but plaintext. */
let prefixed = Buffer.alloc(0)
