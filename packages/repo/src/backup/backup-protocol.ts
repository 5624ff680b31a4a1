import type { PackId, TransportedError } from '@platter/core'
import type { EncoderSettings } from './region-encoder.ts'
import type { RegionResult, RegionTask } from './region-task.ts'

/** What a backup worker is started with. */
export interface BackupWorkerData {
  readonly kind: 'backup'
  readonly settings: EncoderSettings
  readonly packBytes: number
  /** Shared memory of the claim table's segments so far. */
  readonly claimSegments: readonly SharedArrayBuffer[]
  /** One Int32: not 0 when work is to stop. */
  readonly stop: SharedArrayBuffer
  /** Four Float64 counters that this worker alone writes: done, read, new, known bytes. */
  readonly counters: SharedArrayBuffer
  /** Descriptor of the image; absent when the main thread sends pieces. */
  readonly fd: number | undefined
  readonly onReadError: 'stop' | 'record'
  readonly sectorBytes: number
}

/** From the main thread to a worker. */
export type BackupRequest =
  | { readonly type: 'region'; readonly task: RegionTask }
  /** The next piece of the regions this worker has been given, read by the main thread. */
  | {
      readonly type: 'piece'
      readonly bytes: Uint8Array<ArrayBuffer>
      readonly bad: RegionResult['badRanges']
    }
  /** Memory for a pack. */
  | { readonly type: 'memory'; readonly memory: ArrayBuffer }
  | { readonly type: 'claims'; readonly segment: SharedArrayBuffer }
  /** No more regions: hand over the pack under way. */
  | { readonly type: 'flush' }

/** From a worker to the main thread. */
export type BackupReply =
  | { readonly type: 'region'; readonly result: RegionResult }
  | { readonly type: 'memory-wanted'; readonly bytes: number }
  | { readonly type: 'pack'; readonly pack: FinishedPack }
  /** Memory of a piece, emptied. */
  | { readonly type: 'piece-memory'; readonly memory: ArrayBuffer }
  | { readonly type: 'flushed' }
  | { readonly type: 'error'; readonly error: TransportedError }

/** A pack on its way to the store. Its entries stand in its own directory. */
export interface FinishedPack {
  readonly id: PackId
  readonly memory: ArrayBuffer
  readonly fileBytes: number
  /** The last pack of a worker, which may be small and is better merged with others. */
  readonly last: boolean
}
