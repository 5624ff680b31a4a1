import { assertInteger, InvalidArgumentError } from './errors.ts'
import { createKernels, type Implementation, type ImplementationChoice, type Kernels } from './kernels.ts'
import { BLOCK_BYTES, deriveNhKey, type NhKey } from './nh-digest.ts'

/**
 * Digests 4096-byte blocks under a secret key, and tells which are all zero, in one pass over memory.
 *
 * Data is read straight into `slab`, and lies there while it is scanned:
 *
 * @example
 * const scanner = createBlockScanner({ key, slabBytes: 1024 * 1024 })
 * const { bytesRead } = await file.read(scanner.slab, 0, scanner.slab.length, position)
 * scanner.scan(0, Math.floor(bytesRead / BLOCK_BYTES))
 */
export class BlockScanner {
  readonly implementation: Implementation
  /** The memory that is scanned; it never moves. */
  readonly slab: Uint8Array
  /** 16 bytes for each block of the last scan, from index 0. The next scan over the same kernels overwrites them. */
  readonly digests: Uint8Array
  /** For each block of the last scan: 1 when all of its bytes are zero, else 0. Overwritten like `digests`. */
  readonly zeroFlags: Uint8Array
  /** The digest of the zero block under this key, 16 bytes. */
  readonly zeroDigest: Uint8Array
  readonly #kernels: Kernels
  readonly #key: NhKey

  constructor(key: Uint8Array, kernels: Kernels) {
    this.#key = deriveNhKey(key)
    this.#kernels = kernels
    this.implementation = kernels.implementation
    this.slab = kernels.slab
    this.digests = kernels.digests
    this.zeroFlags = kernels.zeroFlags
    this.zeroDigest = this.#key.zeroDigest.slice()
  }

  /**
   * Scans `blockCount` blocks from byte `offset` of the slab on; their results stand at block index 0 and up.
   *
   * A last block that the data fills only in part must be filled up with zeros first.
   *
   * @throws InvalidArgumentError when `offset` is not a multiple of 4096, or the blocks do not lie in the slab
   */
  scan(offset: number, blockCount: number): void {
    assertInteger('offset', offset, 0, this.slab.length, BLOCK_BYTES)
    assertInteger('blockCount', blockCount, 0, (this.slab.length - offset) / BLOCK_BYTES)
    this.#kernels.scanBlocks(this.#key, offset, blockCount)
  }
}

/** Either over memory of its own, or over kernels that chunkers use as well. */
export type BlockScannerOptions = OwnMemoryOptions | SharedKernelsOptions

/**
 * Makes a scanner.
 *
 * @throws InvalidArgumentError when `key` is not 32 bytes, or the slab's size is not a multiple of 4096 above 0
 */
export function createBlockScanner(options: BlockScannerOptions): BlockScanner {
  const kernels = 'kernels' in options ? options.kernels : createKernels(options)
  if (kernels.slab.length === 0) {
    throw new InvalidArgumentError('a block scanner needs a slab: slabBytes must be at least 4096')
  }
  return new BlockScanner(options.key, kernels)
}

interface OwnMemoryOptions {
  /** 32 secret bytes. */
  readonly key: Uint8Array
  /** Size of the slab: a multiple of 4096, up to 1 GiB. */
  readonly slabBytes: number
  readonly implementation?: ImplementationChoice
}

interface SharedKernelsOptions {
  /** 32 secret bytes. */
  readonly key: Uint8Array
  readonly kernels: Kernels
}
