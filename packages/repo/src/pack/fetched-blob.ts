import type { BlobEntry } from '../format/blob-entry.ts'

/** A stored blob in memory. */
export interface FetchedBlob extends BlobEntry {
  /** Sealed bytes: a view of a buffer that came along. Absent when they could not be read. */
  readonly sealed: Uint8Array | undefined
  /** Salt of the pack it came from. */
  readonly packSalt: Uint8Array
}
