import type { CodecName, RandomSource } from '@platter/core'
import type { ChunkerSettings } from '../config/repository-config.ts'

/** Options of {@link Repository.init}. */
export interface InitOptions {
  /** How the repository is protected. Only 'none' is available in this version, and it must be asked for. */
  readonly crypto: 'none'
  /** Default: the aligned chunker with 64 KiB, 256 KiB and 1 MiB. */
  readonly chunker?: ChunkerSettings
  /** Part of an image that one leaf of a volume tree describes. Default 64 MiB. */
  readonly regionBytes?: number
  /** Size at which a pack is closed. Default 32 MiB. */
  readonly packBytes?: number
  /** Source of the repository's id and secret; for tests that must repeat a run. */
  readonly random?: RandomSource
  readonly signal?: AbortSignal
}

/** Something a caller may want to tell a person; the work went on. */
export interface Warning {
  readonly code: string
  readonly message: string
}

/** Options of {@link Repository.open}. */
export interface OpenOptions {
  /** Codec of new blobs; blobs of all codecs can be read. Default 'auto': zstd where the runtime has it, else lz4. */
  readonly codec?: CodecName | 'auto'
  /**
   * Which new blobs are decompressed and compared with their plaintext before they are stored, against faulty memory
   * and codecs: one in sixteen (the default), or all.
   */
  readonly verifyCompression?: 'sample' | 'all'
  readonly onWarning?: (warning: Warning) => void
  /** Clock of snapshot times. */
  readonly now?: () => Date
  readonly random?: RandomSource
  readonly signal?: AbortSignal
}
