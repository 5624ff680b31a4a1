import type { ReadableStore } from '@platter/core'
import type { RepositoryStats } from '../api/stats-types.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { INDEX_PREFIX, PACKS_PREFIX, packIdOfName } from '../format/object-names.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'

/** Adds up what a repository holds. */
export async function repositoryStats(
  store: ReadableStore,
  index: ChunkIndex,
  catalog: SnapshotCatalog,
  signal?: AbortSignal,
): Promise<RepositoryStats> {
  let bytesStored = 0
  let bytesPacks = 0
  let bytesIndex = 0
  let packs = 0
  for await (const { name, sizeBytes } of store.list('', signal === undefined ? {} : { signal })) {
    bytesStored += sizeBytes
    if (name.startsWith(INDEX_PREFIX)) bytesIndex += sizeBytes
    if (name.startsWith(PACKS_PREFIX) && packIdOfName(name) !== undefined) {
      bytesPacks += sizeBytes
      packs++
    }
  }
  let bytesUnique = 0
  let chunks = 0
  for (let entry = 0; entry < index.size; entry++) {
    const { type, rawBytes } = index.location(entry)
    // An id that stands in several packs counts once, at its first entry.
    if (type !== BLOB_TYPE.chunk || index.find(index.id(entry)) !== entry) continue
    bytesUnique += rawBytes
    chunks++
  }
  const snapshots = await catalog.list({}, signal)
  const bytesImages = snapshots.reduce(
    (sum, { volumes }) => sum + volumes.reduce((n, v) => n + v.sizeBytes, 0),
    0,
  )
  return {
    snapshots: snapshots.length,
    bytesImages,
    bytesUnique,
    bytesStored,
    bytesPacks,
    bytesIndex,
    packs,
    chunks,
  }
}
