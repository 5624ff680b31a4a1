// As a namespace: Node 20 has no zstd to import by name.
import * as zlib from 'node:zlib'
import { compressSync, uncompressSync } from 'lz4-napi'

export type CodecName = 'lz4' | 'zstd'

/** A compressor at the settings which platter uses. */
export interface Codec {
  compress(chunk: Buffer): Buffer
  decompress(packed: Buffer): Buffer
}

/** The codec by its name; zstd needs a Node that has it (22.15 or newer). */
export function codecNamed(name: string | undefined): Codec {
  if (name === 'lz4')
    return { compress: (chunk) => compressSync(chunk), decompress: (packed) => uncompressSync(packed) }
  if (name !== 'zstd') throw new RangeError(`"${name}" is neither lz4 nor zstd.`)
  const params = { [zlib.constants.ZSTD_c_compressionLevel]: 1 }
  return {
    compress: (chunk) => zlib.zstdCompressSync(chunk, { params }),
    decompress: (packed) => zlib.zstdDecompressSync(packed),
  }
}
