import type { ReadableStore, StoreCallOptions } from '@platter/core'
import type { BlobEntry } from '../format/blob-entry.ts'
import {
  assertPackLength,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  readPackDirectory,
  readPackTrailer,
  saltOfHeader,
} from '../format/pack-file.ts'

/**
 * Reads directory and salt of a pack from the store, verified; the blobs are not read.
 *
 * @param sizeBytes of the pack file, as the store lists it.
 * @param packKey key of all packs of the repository, undefined in one without encryption.
 * @throws ERR_CORRUPT_PACK, ERR_UNSUPPORTED_VERSION, and what the store throws.
 */
export async function fetchPackDirectory(
  store: ReadableStore,
  name: string,
  sizeBytes: number,
  packKey: Uint8Array | undefined,
  options: StoreCallOptions,
): Promise<{ readonly salt: Uint8Array; readonly entries: BlobEntry[] }> {
  assertPackLength(sizeBytes, name)
  const header = await store.getRange(name, 0, PACK_HEADER_BYTES, options)
  const trailer = await store.getRange(name, sizeBytes - PACK_TRAILER_BYTES, PACK_TRAILER_BYTES, options)
  const { directoryOffset } = readPackTrailer(header, trailer, sizeBytes, name, packKey)
  const end = await store.getRange(name, directoryOffset, sizeBytes - directoryOffset, options)
  const entries = readPackDirectory(header, end, sizeBytes, name, packKey)
  return { salt: saltOfHeader(header).slice(), entries }
}
