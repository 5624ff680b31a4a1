import { CODEC, type CodecNumber } from '@platter/core'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import type { BlobReader } from './blob-reader.ts'

/** A chunk in memory, in the form in which fetched blobs travel to a worker. */
export interface IntactCopy {
  readonly id: Uint8Array
  readonly codec: CodecNumber
  readonly rawBytes: number
  readonly stored: Uint8Array
  readonly pack: string
  readonly offset: number
}

/**
 * Reads chunks one by one from whichever copy is intact: for when the first copy turned out to be damaged, or gone.
 * They come as plaintext, checked against their ids.
 *
 * @throws ERR_CORRUPT_BLOB, ERR_CHUNK_MISSING and others when no copy of a chunk is intact: the failure of the first.
 */
export async function readIntactCopies(
  reader: BlobReader,
  ids: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<IntactCopy[]> {
  const copies: IntactCopy[] = []
  for (const id of ids) {
    const stored = await reader.read(id, BLOB_TYPE.chunk, signal)
    copies.push({ id, codec: CODEC.none, rawBytes: stored.length, stored, pack: 'another copy', offset: 0 })
  }
  return copies
}
