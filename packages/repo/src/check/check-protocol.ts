import type { TransportedError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'

/** What a check worker is started with. */
export interface CheckWorkerData {
  readonly kind: 'check'
  readonly keys: RepositoryKeys
}

/** A whole pack to be verified. */
export interface CheckRequest {
  readonly name: string
  readonly file: Uint8Array
}

/** What a worker found in a pack. */
export type CheckReply =
  | {
      readonly type: 'checked'
      readonly name: string
      readonly problems: readonly PackProblem[]
    }
  | { readonly type: 'error'; readonly error: TransportedError }

/** Something wrong with a pack or with one blob in it. */
export interface PackProblem {
  readonly code: 'ERR_CORRUPT_PACK' | 'ERR_CORRUPT_BLOB'
  readonly message: string
  /** Hex id of the blob; undefined when the pack as a whole is meant. */
  readonly blob: string | undefined
}
