export { AlignedChunker, type AlignedChunkerOptions } from './aligned-chunker.ts'
export { BlockScanner, type BlockScannerOptions, createBlockScanner } from './block-scanner.ts'
export {
  assertChunkerConfig,
  type Chunker,
  type ChunkerConfig,
  type ChunkerKind,
  type ChunkSizes,
  DEFAULT_CHUNK_SIZES,
  MAX_CHUNK_BYTES,
} from './chunker.ts'
export { type ChunkerKeys, type CreateChunkerOptions, createChunker } from './create-chunker.ts'
export { InvalidArgumentError } from './errors.ts'
export { FastCdcChunker, type FastCdcChunkerOptions } from './fast-cdc-chunker.ts'
export { FixedChunker, type FixedChunkerOptions } from './fixed-chunker.ts'
export {
  createKernels,
  type Implementation,
  type ImplementationChoice,
  type Kernels,
  type KernelsOptions,
} from './kernels.ts'
export { BLOCK_BYTES, DIGEST_BYTES } from './nh-digest.ts'
