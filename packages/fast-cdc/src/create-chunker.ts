import { AlignedChunker } from './aligned-chunker.ts'
import { assertChunkerConfig, type Chunker, type ChunkerConfig } from './chunker.ts'
import { FastCdcChunker } from './fast-cdc-chunker.ts'
import { FixedChunker } from './fixed-chunker.ts'
import type { ImplementationChoice, Kernels } from './kernels.ts'

/**
 * Makes the chunker that a configuration names.
 *
 * @throws InvalidArgumentError when the configuration or a key it needs is not valid
 */
export function createChunker(
  config: ChunkerConfig & { readonly kind: 'aligned' },
  options: CreateChunkerOptions,
): AlignedChunker
export function createChunker(config: ChunkerConfig, options: CreateChunkerOptions): Chunker
export function createChunker(config: ChunkerConfig, options: CreateChunkerOptions): Chunker {
  assertChunkerConfig(config)
  const { keys, kernels, implementation = 'auto' } = options
  switch (config.kind) {
    case 'aligned':
      return new AlignedChunker({ ...keys, sizes: config, implementation })
    case 'fastcdc':
      return new FastCdcChunker({ ...keys, sizes: config, implementation, ...(kernels && { kernels }) })
    case 'fixed':
      return new FixedChunker({ chunkBytes: config.maxBytes })
  }
}

export interface CreateChunkerOptions {
  readonly keys: ChunkerKeys
  readonly implementation?: ImplementationChoice
  /** Kernels for FastCDC to share, in place of its own. */
  readonly kernels?: Kernels
}

/** The keys of all kinds of chunkers, 32 bytes each, independent of one another. */
export interface ChunkerKeys {
  /** Of the block digests, the same as the `BlockScanner`'s. */
  readonly digestKey: Uint8Array
  /** Of the tags that decide aligned cuts. */
  readonly cutKey: Uint8Array
  /** Of FastCDC's gear table. */
  readonly gearKey: Uint8Array
}
