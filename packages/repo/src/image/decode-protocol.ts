import type { TransportedError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { FetchedBlob } from '../pack/fetched-blob.ts'

/** What a worker that decodes chunks for images is started with. */
export interface DecodeWorkerData {
  readonly kind: 'decode'
  readonly keys: RepositoryKeys
}

/** Chunks to be decoded, with what tells the reply from others. */
export interface DecodeRequest {
  readonly batch: number
  readonly blobs: readonly FetchedBlob[]
}

export type DecodeReply =
  | {
      readonly type: 'decoded'
      readonly batch: number
      /** Checked plaintexts in the order of the blobs, each in memory of its own; undefined where one is damaged. */
      readonly plains: readonly (Uint8Array<ArrayBuffer> | undefined)[]
    }
  | { readonly type: 'error'; readonly batch: number; readonly error: TransportedError }
