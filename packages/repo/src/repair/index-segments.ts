import { type PackId, PlatterError, type StoreStat, settle, type WritableStore } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { BlobEntry } from '../format/blob-entry.ts'
import { decodeIndexSegment, type IndexedPack, type IndexSegment } from '../format/index-segment.ts'
import { MAX_INDEX_SEGMENT_BYTES } from '../format/limits.ts'
import { INDEX_PREFIX, snapshotName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { PLACE_WORDS } from '../index/chunk-index.ts'
import { listIndexSegments } from '../index/load-index.ts'
import type { WriterSession } from '../session/writer-session.ts'

const CONCURRENCY = 8

/** An index segment, and under which number its first pack stands in a `ChunkIndex` of them all. */
export interface NamedSegment {
  readonly name: string
  readonly segment: IndexSegment
  readonly firstPack: number
}

/** All index segments: those that can be used, and the names of those that are damaged. */
export interface SegmentsFound {
  readonly readable: readonly NamedSegment[]
  readonly damaged: readonly { readonly name: string; readonly error: PlatterError }[]
}

/**
 * Reads every index segment.
 *
 * @throws ERR_UNSUPPORTED_VERSION when a later version wrote one: that is no damage. And what the store throws.
 */
export async function readAllSegments(
  objects: SealedStore,
  signal: AbortSignal,
  onProgress: (done: number, total: number) => void,
): Promise<SegmentsFound> {
  const stats = await listIndexSegments(objects, signal)
  // What an earlier repair wrote and removed, and failed to make durable, is taken for done.
  await settle(objects.store, INDEX_PREFIX, { signal })
  const readable: NamedSegment[] = []
  const damaged: { name: string; error: PlatterError }[] = []
  const read = async ({ name }: StoreStat): Promise<IndexSegment | PlatterError | undefined> => {
    try {
      const bytes = await objects.store.get(name, { maxBytes: MAX_INDEX_SEGMENT_BYTES, signal })
      const segment = decodeIndexSegment(name, bytes, objects.records)
      // Each entry is decoded once here, so that an impossible one is found before anything relies on it.
      segment.copyPlaces(new Uint32Array(segment.entryCount * PLACE_WORDS), 0)
      return segment
    } catch (error) {
      signal.throwIfAborted()
      // Gone since it was listed: a prune or another repair has put something else in its place.
      if (PlatterError.is(error, 'ERR_NOT_FOUND')) return undefined
      if (PlatterError.is(error, 'ERR_UNSUPPORTED_VERSION')) throw error
      if (error instanceof PlatterError && DAMAGE.has(error.code)) return error
      throw error
    }
  }
  let done = 0
  let firstPack = 0
  for await (const found of mapConcurrently(stats, CONCURRENCY, read)) {
    const { name } = stats[done++]!
    if (found instanceof PlatterError) damaged.push({ name, error: found })
    else if (found !== undefined) {
      readable.push({ name, segment: found, firstPack })
      firstPack += found.packs.length
    }
    onProgress(done, stats.length)
  }
  return { readable, damaged }
}

/** Packs of a segment with the entries that it has for them. */
export function packsOf(segment: IndexSegment, wanted: (id: PackId) => boolean): IndexedPack[] {
  const entries = new Map<number, BlobEntry[]>()
  segment.packs.forEach(({ id }, number) => {
    if (wanted(id)) entries.set(number, [])
  })
  if (entries.size === 0) return []
  for (let i = 0; i < segment.entryCount; i++) {
    const { pack, ...entry } = segment.entry(i)
    entries.get(pack)?.push({ ...entry, id: entry.id.slice() })
  }
  return [...entries].map(([number, list]) => {
    const { id, salt, fileBytes } = segment.packs[number]!
    return { id, salt: salt.slice(), fileBytes, entries: list.sort((a, b) => a.offset - b.offset) }
  })
}

/**
 * Makes sure that no prune has ended the session: what the session has seen before was not about to be removed.
 *
 * @throws ERR_SESSION_FENCED
 */
export async function assertNotFenced(
  store: WritableStore,
  session: WriterSession,
  signal: AbortSignal,
): Promise<void> {
  const fence = snapshotName(session.id)
  if ((await store.stat(fence, { signal })) !== undefined) {
    throw new PlatterError(
      'ERR_SESSION_FENCED',
      'The repair was ended by a prune because it seemed dead. Nothing is lost; run the repair again.',
      { object: fence },
    )
  }
}
