import { HASH_BYTES, PlatterError, type StoreStat } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { decodeIndexSegment, type IndexSegment } from '../format/index-segment.ts'
import { MAX_INDEX_SEGMENT_BYTES } from '../format/limits.ts'
import { INDEX_PREFIX, indexSessionOfName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import type { ChunkIndex } from './chunk-index.ts'
import { ChunkIndexBuilder } from './chunk-index-builder.ts'

/** Requests under way at once while segments are read, and what they may take together, if it is more than one. */
const CONCURRENCY = 8
const BYTES_AT_ONCE: number = 2 * MAX_INDEX_SEGMENT_BYTES

/** Names and sizes of all index segments, in the order of their names. */
export async function listIndexSegments({ store }: SealedStore, signal?: AbortSignal): Promise<StoreStat[]> {
  const found: StoreStat[] = []
  for await (const stat of store.list(INDEX_PREFIX, callOptions(signal))) {
    if (indexSessionOfName(stat.name) !== undefined) found.push(stat)
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * Reads index segments, several at once, and gives each as it comes, in order.
 *
 * @throws ERR_CORRUPT_INDEX, and what the store throws.
 */
export async function* readIndexSegments(
  { store, records }: SealedStore,
  stats: readonly StoreStat[],
  signal?: AbortSignal,
): AsyncGenerator<IndexSegment> {
  const read = async ({ name }: StoreStat): Promise<IndexSegment> => {
    const bytes = await store.get(name, { ...callOptions(signal), maxBytes: MAX_INDEX_SEGMENT_BYTES })
    return decodeIndexSegment(name, bytes, records)
  }
  const longest = stats.reduce((most, { sizeBytes }) => Math.max(most, sizeBytes), 1)
  yield* mapConcurrently(stats, Math.max(1, Math.min(CONCURRENCY, Math.floor(BYTES_AT_ONCE / longest))), read)
}

/** Bytes an index entry takes at least. */
const ENTRY_BYTES = HASH_BYTES + 20

/** Entries that segments of these sizes can have at most; hardly fewer, as the rest of them is small. */
export function maxEntriesIn(stats: readonly StoreStat[]): number {
  const bytes = stats.reduce((sum, { sizeBytes }) => sum + Math.min(sizeBytes, MAX_INDEX_SEGMENT_BYTES), 0)
  return Math.ceil(bytes / ENTRY_BYTES)
}

/** Times segments are listed again because a collector replaced some meanwhile. */
const MAX_TRIES = 8

/** An index, and the names of the segments it was made of. */
export interface LoadedIndex {
  readonly names: string
  readonly index: ChunkIndex
}

/**
 * All index segments as one index for looking blobs up. Readers need those of fenced sessions too: a snapshot may
 * rely on a pack that was known to its writer before that pack's own session was fenced.
 *
 * @param known what was loaded before; given back when the segments are the same.
 * @throws ERR_CORRUPT_INDEX, and what the store throws.
 */
export async function loadChunkIndex(
  objects: SealedStore,
  known: LoadedIndex | undefined,
  signal?: AbortSignal,
): Promise<LoadedIndex> {
  for (let attempt = 1; ; attempt++) {
    const stats = await listIndexSegments(objects, signal)
    const names = stats.map(({ name }) => name).join()
    if (known?.names === names) return known
    try {
      const builder = new ChunkIndexBuilder(maxEntriesIn(stats))
      for await (const segment of readIndexSegments(objects, stats, signal)) builder.add(segment)
      return { names, index: builder.build() }
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_NOT_FOUND') || attempt === MAX_TRIES) throw error
    }
  }
}

function callOptions(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
