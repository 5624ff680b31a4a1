import type { CodecName, RandomSource, StatePin, SuiteName } from '@platter/core'
import type { ChunkerSettings } from '../config/repository-config.ts'
import type { Credentials } from '../keys/credential.ts'
import type { ScryptParameters } from '../keys/scrypt.ts'

/** Options of {@link Repository.init}: a passphrase or a key file, unless `crypto` is 'none'. */
export interface InitOptions extends Credentials {
  /** How the repository is protected. Default 'aes-256-gcm'; with 'none' anyone with access to the store can read it. */
  readonly crypto?: SuiteName
  /** What people call the first key slot, at most 256 characters. */
  readonly label?: string
  /** Cost of trying a passphrase on the first key slot. Default N = 2^17, r = 8, p = 1. */
  readonly kdf?: ScryptParameters
  /** Default: the aligned chunker with 64 KiB, 256 KiB and 1 MiB. */
  readonly chunker?: ChunkerSettings
  /** Part of an image that one leaf of a volume tree describes. Default 64 MiB. */
  readonly regionBytes?: number
  /** Size at which a pack is closed. Default 32 MiB. */
  readonly packBytes?: number
  /** Clock of the first key slot. */
  readonly now?: () => Date
  /** Source of the repository's id and secret; for tests that must repeat a run. */
  readonly random?: RandomSource
  readonly signal?: AbortSignal
}

/** Something a caller may want to tell a person; the work went on. */
export interface Warning {
  readonly code: string
  readonly message: string
}

/** Options of {@link Repository.open}; an encrypted repository needs a passphrase or a key file. */
export interface OpenOptions extends Credentials {
  /** Codec of new blobs; blobs of all codecs can be read. Default 'auto': zstd where the runtime has it, else lz4. */
  readonly codec?: CodecName | 'auto'
  /**
   * Which new blobs are decompressed and compared with their plaintext before they are stored, against faulty memory
   * and codecs: one in sixteen (the default), or all.
   */
  readonly verifyCompression?: 'sample' | 'all'
  /**
   * Where this client keeps what it has seen of the repository. With it, a store that takes snapshots away, that shows an
   * earlier state or another repository, or that brings a removed key slot back, is found out: ERR_ROLLBACK.
   */
  readonly pin?: StatePin
  /**
   * Makes the pin anew from what the store shows now, whatever was seen before; `onWarning` is told what differs. For
   * people who know why it differs. Default false.
   */
  readonly acceptRollback?: boolean
  readonly onWarning?: (warning: Warning) => void
  /** Clock of snapshot times. */
  readonly now?: () => Date
  readonly random?: RandomSource
  readonly signal?: AbortSignal
}
