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
import { readStepBytes, widened } from './read-pack-range.ts'

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
  const stepBytes = readStepBytes(packKey)
  const read = async (from: number, to: number): Promise<{ start: number; bytes: Uint8Array }> => {
    const { start, end } = widened(from, to, sizeBytes, stepBytes)
    return { start, bytes: await store.getRange(name, start, end - start, options) }
  }
  const header = await store.getRange(name, 0, PACK_HEADER_BYTES, options)
  const trailerAt = sizeBytes - PACK_TRAILER_BYTES
  let tail = await read(trailerAt, sizeBytes)
  const trailer = tail.bytes.subarray(trailerAt - tail.start)
  const { directoryOffset } = readPackTrailer(header, trailer, sizeBytes, name, packKey)
  if (directoryOffset < tail.start) tail = await read(directoryOffset, sizeBytes)
  const end = tail.bytes.subarray(directoryOffset - tail.start)
  const entries = readPackDirectory(header, end, sizeBytes, name, packKey)
  return { salt: saltOfHeader(header).slice(), entries }
}
