import type { TransportedError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { FetchedBlob } from '../pack/fetched-blob.ts'
import type { RestoreScope } from './restore-scope.ts'

/** What a restore worker is started with. */
export interface RestoreWorkerData {
  readonly kind: 'restore'
  readonly keys: RepositoryKeys
  /** One Int32: not 0 when work is to stop. */
  readonly stop: SharedArrayBuffer
  /** Descriptor of the target; absent when pieces go back to the main thread. */
  readonly fd: number | undefined
  /** Pieces a worker may have under way to the main thread. */
  readonly maxPieces: number
  /** What of the image is restored, and where on the target. */
  readonly scope: RestoreScope
  /** Whether what the target holds already is not written. */
  readonly onlyDifferent: boolean
  /** Whether what is restored is digested, for the check of the whole image. */
  readonly digest: boolean
}

/** What to do with a run of a slice. */
export type RunAction =
  | { readonly type: 'write'; readonly blob: number; readonly length: number }
  /** Reads as zeros; the main thread sees to that. */
  | { readonly type: 'zero'; readonly length: number }
  /** Is on the target already, or not restored. */
  | { readonly type: 'keep'; readonly length: number }

/** A slice of a region to be restored: its runs, and every blob they need. */
export interface RestoreTask {
  /** Numbers the slices of an image in its order. */
  readonly slice: number
  readonly offset: number
  readonly length: number
  readonly runs: readonly RunAction[]
  readonly blobs: readonly FetchedBlob[]
}

/** From the main thread to a worker. */
export type RestoreRequest =
  | { readonly type: 'slice'; readonly task: RestoreTask }
  /** Plaintext of the chunk that was wanted; absent after a failure. */
  | { readonly type: 'chunk'; readonly plain: Uint8Array | undefined }
  /** A piece's memory, written out. */
  | { readonly type: 'memory'; readonly memory: ArrayBuffer }
  /** Compare runs with what the target holds. */
  | { readonly type: 'compare'; readonly task: CompareTask }

/** A region to be compared with the target. */
export interface CompareTask {
  readonly region: number
  readonly offset: number
  readonly kinds: Uint8Array
  readonly spans: Uint32Array
  readonly ids: Uint8Array
}

/** From a worker to the main thread. */
export type RestoreReply =
  | {
      readonly type: 'slice'
      readonly slice: number
      /** Digests of all blocks written, in order. */
      readonly digests: Uint8Array<ArrayBuffer>
      readonly bytesWritten: number
      readonly bytesUnchanged: number
    }
  | {
      readonly type: 'piece'
      readonly slice: number
      readonly offset: number
      readonly bytes: Uint8Array<ArrayBuffer>
    }
  /** A copy of a chunk is damaged or gone: is there another? */
  | { readonly type: 'chunk-wanted'; readonly id: Uint8Array }
  /** For each run 1 when it needs no work. */
  | { readonly type: 'compared'; readonly region: number; readonly same: Uint8Array }
  | { readonly type: 'error'; readonly error: TransportedError }
