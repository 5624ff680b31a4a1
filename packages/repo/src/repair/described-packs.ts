import { type PackId, PlatterError, plainRecords, type ReadableStore } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import {
  decodeIndexSegment,
  encodeIndexSegment,
  type IndexedPack,
  type IndexSegment,
} from '../format/index-segment.ts'
import { packName } from '../format/object-names.ts'
import { PLACE_WORDS } from '../index/chunk-index.ts'
import { ChunkIndexBuilder } from '../index/chunk-index-builder.ts'
import { BlobReader } from '../pack/blob-reader.ts'
import { fetchPackDirectory } from '../pack/pack-directory.ts'

const CONCURRENCY = 8

/**
 * What packs say themselves of what is in them, each in the form that an index is made of. It is not stored.
 *
 * @param sizes of the packs, in bytes.
 * @throws what the store throws. Packs that cannot tell what is in them are left out.
 */
export async function* describedPacks(
  store: ReadableStore,
  sizes: ReadonlyMap<PackId, number>,
  keys: RepositoryKeys,
  signal: AbortSignal,
): AsyncGenerator<IndexSegment> {
  const read = async ([id, fileBytes]: [PackId, number]): Promise<IndexSegment | undefined> => {
    const name = packName(id)
    try {
      const directory = await fetchPackDirectory(store, name, fileBytes, keys.pack, { signal })
      const pack: IndexedPack = { id, fileBytes, ...directory }
      const bytes = Buffer.concat(encodeIndexSegment(name, [pack], plainRecords))
      const segment = decodeIndexSegment(name, bytes, plainRecords)
      // Each entry is decoded once here, so that an impossible one is found before anything relies on it.
      segment.copyPlaces(new Uint32Array(segment.entryCount * PLACE_WORDS), 0)
      return segment
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof PlatterError && DAMAGE.has(error.code)) return undefined
      throw error
    }
  }
  for await (const segment of mapConcurrently(sizes, CONCURRENCY, read))
    if (segment !== undefined) yield segment
}

/**
 * Reads blobs from packs that a prune is about to remove, as their own directories say: what it removed first are the
 * index segments that list them.
 *
 * @param sizes of those that are there, in bytes.
 * @throws what the store throws. Packs that cannot tell what is in them are left out.
 */
export async function readerOfGoingPacks(
  store: ReadableStore,
  sizes: ReadonlyMap<PackId, number>,
  keys: RepositoryKeys,
  signal: AbortSignal,
): Promise<BlobReader> {
  const index = new ChunkIndexBuilder()
  for await (const segment of describedPacks(store, sizes, keys, signal)) index.add(segment)
  return new BlobReader(store, index.build(), keys)
}
