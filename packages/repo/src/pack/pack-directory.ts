import type { ReadableStore, StoreCallOptions } from '@platter/core'
import type { BlobEntry } from '../format/blob-entry.ts'
import {
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  readPackDirectory,
  readPackTrailer,
} from '../format/pack-file.ts'

/**
 * Reads the directory of a pack from the store, verified; the blobs are not read.
 *
 * @param sizeBytes of the pack file, as the store lists it.
 * @throws ERR_CORRUPT_PACK, ERR_UNSUPPORTED_VERSION, and what the store throws.
 */
export async function fetchPackDirectory(
  store: ReadableStore,
  name: string,
  sizeBytes: number,
  options: StoreCallOptions,
): Promise<BlobEntry[]> {
  const trailerAt = Math.max(0, sizeBytes - PACK_TRAILER_BYTES)
  const trailer = readPackTrailer(
    await store.getRange(name, trailerAt, sizeBytes - trailerAt, options),
    sizeBytes,
    name,
  )
  const header = await store.getRange(name, 0, PACK_HEADER_BYTES, options)
  const { directoryOffset } = trailer
  const end = await store.getRange(name, directoryOffset, sizeBytes - directoryOffset, options)
  return readPackDirectory(header, end, sizeBytes, name)
}
