import { HASH_BYTES, type PackId, PlatterError, type StoreStat } from '@platter/core'
import type { ChunkerSettings } from '../config/repository-config.ts'
import { MIN_HOLE_BYTES } from '../format/limits.ts'
import { indexSessionOfName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { readGcState, readMark } from '../gc/gc-state.ts'
import { SessionTrust } from '../gc/session-trust.ts'
import { MAX_EXPECTED_ENTRIES } from './chunk-index-builder.ts'
import { ClaimTable } from './claim-table.ts'
import { listIndexSegments, maxEntriesIn, readIndexSegments } from './load-index.ts'
import { settleOpenSegments } from './settle-segments.ts'

/** The ids a repository knows, in memory that workers can share; grows as the backup finds new ones. */
export class Claims {
  readonly table: ClaimTable = new ClaimTable()
  readonly segments: SharedArrayBuffer[] = []
  /** Free slots below which another segment is due: more than all workers can claim before they hear of it. */
  readonly #reserve: number

  constructor(knownChunks: number, reserve: number) {
    this.#reserve = reserve
    this.#add(knownChunks + 2 * reserve)
  }

  /** Adds a segment when it is time, or when there is no room for `count` more, and returns it for the workers. */
  grow(count = 0): SharedArrayBuffer | undefined {
    if (this.table.free >= this.#reserve + count) return undefined
    return this.#add(Math.max(4 * this.#reserve, this.table.size, this.#reserve + count))
  }

  #add(chunkCount: number): SharedArrayBuffer {
    const memory = ClaimTable.allocate(chunkCount)
    this.segments.push(memory)
    this.table.add(memory)
    return memory
  }
}

/** Times the index is read again because a collector replaced segments meanwhile. */
const MAX_TRIES = 8

/**
 * Reads what of the index a writer may rely on into a claim table, one segment after the other. Left out is what
 * a collector may be about to remove: segments of fenced sessions, and packs condemned in a generation of garbage
 * collection that is not done.
 */
export async function loadClaims(
  objects: SealedStore,
  workers: number,
  chunker: ChunkerSettings,
  regionBytes: number,
  signal: AbortSignal,
): Promise<Claims> {
  const reserve = claimReserve(workers, chunker, regionBytes)
  for (let attempt = 1; ; attempt++) {
    try {
      return await loadOnce(objects, reserve, signal)
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_NOT_FOUND') || attempt === MAX_TRIES) throw error
    }
  }
}

async function loadOnce(objects: SealedStore, reserve: number, signal: AbortSignal): Promise<Claims> {
  // In this order: a generation seen as done has removed its entries before the index is listed.
  const condemned = await condemnedPacks(objects, signal)
  const listed = await listIndexSegments(objects, signal)
  const trust = await SessionTrust.list(objects, signal)
  const stats: StoreStat[] = []
  for (const stat of listed) {
    if ((await trust.standing(indexSessionOfName(stat.name)!, signal)) !== 'fenced') stats.push(stat)
  }
  await settleOpenSegments(objects.store, stats, trust, signal)
  // What a store lists may not be so; there will be room for what is read.
  const claims = new Claims(Math.min(maxEntriesIn(stats), MAX_EXPECTED_ENTRIES), reserve)
  for await (const segment of readIndexSegments(objects, stats, signal)) {
    claims.grow(segment.entryCount)
    const { ids, packs } = segment
    const all = !packs.some(({ id }) => condemned.has(id))
    for (let i = 0; i < segment.entryCount; i++) {
      if (all || !condemned.has(packs[segment.entry(i).pack]!.id))
        claims.table.claim(ids.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES))
    }
  }
  return claims
}

/** Ids that all workers together can claim before they hear of another segment. */
export function claimReserve(workers: number, chunker: ChunkerSettings, regionBytes: number): number {
  // Chunks of the shortest length, and shorter ones in front of each hole; the rest is for nodes.
  const claimsPerRegion =
    Math.ceil(regionBytes / chunker.minBytes) + Math.ceil(regionBytes / MIN_HOLE_BYTES) + 1024
  return 2 * Math.max(1, workers) * claimsPerRegion
}

async function condemnedPacks(objects: SealedStore, signal: AbortSignal): Promise<ReadonlySet<PackId>> {
  const { newest, idle } = await readGcState(objects.store, signal)
  if (idle) return new Set()
  try {
    return new Set((await readMark(objects, newest, signal)).condemned)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_CORRUPT_RECORD')) throw error
    throw new PlatterError(
      'ERR_CORRUPT_RECORD',
      `${error.message} It says which packs prune number ${newest} may remove. Run a prune, which ends that one.`,
      { ...error.details, cause: error },
    )
  }
}
