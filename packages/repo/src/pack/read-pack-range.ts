import { PlatterError, type ReadableStore, type StoreCallOptions } from '@platter/core'
import { corruptPack } from '../format/pack-file.ts'

/**
 * Reads a range of a pack where the index places blobs. A store calls a range beyond the end a failure to read; here
 * it means that the pack was cut short.
 *
 * @throws ERR_CORRUPT_PACK when it was, and what the store throws.
 */
export async function readPackRange(
  store: ReadableStore,
  name: string,
  offset: number,
  length: number,
  options: StoreCallOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await store.getRange(name, offset, length, options)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_STORE_IO')) throw error
    const stat = await store.stat(name, options).catch(() => undefined)
    if (stat === undefined || stat.sizeBytes >= offset + length) throw error
    const problem = `was cut short: it has ${stat.sizeBytes} bytes, and the index places blobs up to byte ${offset + length}`
    throw corruptPack(name, problem, error)
  }
}
