import { type PackId, PlatterError, type ReadableStore, type StoreCallOptions } from '@platter/core'
import { packName } from '../format/object-names.ts'
import { corruptPack } from '../format/pack-file.ts'

/**
 * What reads of an encrypted pack begin and end at, so that whoever holds the store does not see how long single blobs
 * are, nor the directory. A blob has some 100 KiB: much finer would show what is to be hidden, much coarser be read
 * for nothing.
 */
const SEALED_STEP_BYTES = 64 * 1024

/** What the places of reads are multiples of. @param packKey undefined in a repository without encryption. */
export function readStepBytes(packKey: Uint8Array | undefined): number {
  return packKey === undefined ? 1 : SEALED_STEP_BYTES
}

/** The smallest range of a file that begins and ends at multiples of a step, or at its end, and holds another. */
export function widened(
  offset: number,
  end: number,
  fileBytes: number,
  stepBytes: number,
): { readonly start: number; readonly end: number } {
  const start = offset - (offset % stepBytes)
  return { start, end: Math.min(Math.ceil(end / stepBytes) * stepBytes, Math.max(fileBytes, end)) }
}

/** A pack as the index lists it. */
export interface ReadPack {
  readonly id: PackId
  readonly fileBytes: number
}

/**
 * Reads a range of a pack where the index places blobs, and with it what is around it up to the next steps. A store calls
 * a range beyond the end a failure to read; here it means that the pack was cut short.
 *
 * @param stepBytes what {@link readStepBytes} gives.
 * @returns a view of what was read.
 * @throws ERR_CORRUPT_PACK when the pack was cut short before the end of the range, and what the store throws.
 */
export async function readPackRange(
  store: ReadableStore,
  pack: ReadPack,
  offset: number,
  length: number,
  stepBytes: number,
  options: StoreCallOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const name = packName(pack.id)
  const { start, end } = widened(offset, offset + length, pack.fileBytes, stepBytes)
  try {
    const bytes = await store.getRange(name, start, end - start, options)
    return bytes.subarray(offset - start, offset - start + length)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_STORE_IO')) throw error
    const stat = await store.stat(name, options).catch(() => undefined)
    if (stat === undefined || stat.sizeBytes >= end) throw error
    if (stat.sizeBytes >= offset + length) {
      // What is missing is not needed. Up to where the store has it, not up to where the blob ends: that it must not learn.
      const bytes = await store.getRange(name, start, stat.sizeBytes - start, options)
      return bytes.subarray(offset - start, offset - start + length)
    }
    const problem = `was cut short: it has ${stat.sizeBytes} bytes, and the index places blobs up to byte ${offset + length}`
    throw corruptPack(name, problem, error)
  }
}
