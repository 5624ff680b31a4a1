/** The chunkers of `fast-cdc`, as the repository uses them. */
export {
  AlignedChunker,
  type BlockScanner,
  type Chunker,
  createBlockScanner,
  createChunker,
  createKernels,
} from 'fast-cdc'
