import { HASH_BYTES, PlatterError, type RepositoryId, type SuiteName } from '@platter/core'
import {
  BLOCK_BYTES,
  MAX_CHUNK_BYTES,
  MAX_NODE_BYTES,
  MAX_PACK_BYTES,
  MAX_REGION_BYTES,
  MIN_PACK_BYTES,
  MIN_REGION_BYTES,
} from '../format/limits.ts'

/** How images are cut into chunks. All sizes in bytes; multiples of 4096 for the aligned chunker. */
export interface ChunkerSettings {
  /**
   * 'aligned' cuts at 4 KiB multiples and is right for disks; 'fastcdc' cuts at any byte and is right for streams
   * and archives; 'fixed' cuts all chunks to one size.
   */
  readonly kind: 'aligned' | 'fastcdc' | 'fixed'
  readonly minBytes: number
  readonly averageBytes: number
  readonly maxBytes: number
}

/** Settings of the default chunker. */
export const DEFAULT_CHUNKER: ChunkerSettings = Object.freeze({
  kind: 'aligned',
  minBytes: 64 * 1024,
  averageBytes: 256 * 1024,
  maxBytes: 1024 * 1024,
})

/** What a repository was created with; never changes. */
export interface RepositoryConfig {
  readonly id: RepositoryId
  /** How everything in it is protected. */
  readonly crypto: SuiteName
  readonly chunker: ChunkerSettings
  /** Part of an image that one leaf of a volume tree describes. */
  readonly regionBytes: number
  /** A pack is closed when its blobs reach this size. */
  readonly packBytes: number
  /**
   * 32 random bytes from which all keys are derived: the master key. In an encrypted repository they are in key slots
   * only. In one without encryption they stand in the config itself: they make ids and cuts differ from repository to
   * repository, and keep nothing secret.
   */
  readonly secret: Uint8Array
}

/** What a chunk takes in a leaf: kind, span and id. */
const LEAF_BYTES_PER_CHUNK = 1 + 4 + HASH_BYTES

/** Checks what a caller asked for. @throws ERR_INVALID_ARGUMENT */
export function assertConfig(config: RepositoryConfig): void {
  const { minBytes, averageBytes, maxBytes, kind } = config.chunker
  const sizes = [minBytes, averageBytes, maxBytes]
  const wrong = (what: string): PlatterError => new PlatterError('ERR_INVALID_ARGUMENT', `${what}.`)
  if (!['aligned', 'fastcdc', 'fixed'].includes(kind)) throw wrong(`'${kind}' is not a chunker`)
  if (!sizes.every((n) => Number.isSafeInteger(n)) || minBytes > averageBytes || averageBytes > maxBytes) {
    throw wrong('Chunk sizes must be whole and ascend from minimum over average to maximum')
  }
  if (minBytes < 512 || maxBytes > MAX_CHUNK_BYTES)
    throw wrong(`Chunks must have 512 to ${MAX_CHUNK_BYTES} bytes`)
  if (kind === 'aligned' && sizes.some((n) => n % BLOCK_BYTES !== 0)) {
    throw wrong(`Sizes of the aligned chunker must be multiples of ${BLOCK_BYTES}`)
  }
  if (kind === 'fixed' && minBytes !== maxBytes) throw wrong('The fixed chunker has one size')
  const { regionBytes, packBytes } = config
  const regionFits =
    regionBytes >= MIN_REGION_BYTES && regionBytes <= MAX_REGION_BYTES && regionBytes % BLOCK_BYTES === 0
  if (!Number.isSafeInteger(regionBytes) || !regionFits) {
    throw wrong(
      `A region must have ${MIN_REGION_BYTES} to ${MAX_REGION_BYTES} bytes, a multiple of ${BLOCK_BYTES}`,
    )
  }
  if (Math.ceil(regionBytes / minBytes) * LEAF_BYTES_PER_CHUNK > MAX_NODE_BYTES / 2) {
    throw wrong(
      'Regions are too long for chunks so short: choose a larger smallest chunk or a shorter region',
    )
  }
  if (!Number.isSafeInteger(packBytes) || packBytes < MIN_PACK_BYTES || packBytes > MAX_PACK_BYTES) {
    throw wrong(`A pack must have ${MIN_PACK_BYTES} to ${MAX_PACK_BYTES} bytes`)
  }
}
