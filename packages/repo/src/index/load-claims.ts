import { HASH_BYTES } from '@platter/core'
import type { ChunkerSettings } from '../config/repository-config.ts'
import { MIN_HOLE_BYTES } from '../format/limits.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { ClaimTable } from './claim-table.ts'
import { listIndexSegments, readIndexSegments } from './load-index.ts'

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

  /** Adds a segment when it is time, and returns it for the workers. */
  grow(): SharedArrayBuffer | undefined {
    if (this.table.free >= this.#reserve) return undefined
    return this.#add(Math.max(4 * this.#reserve, this.table.size))
  }

  #add(chunkCount: number): SharedArrayBuffer {
    const memory = ClaimTable.allocate(chunkCount)
    this.segments.push(memory)
    this.table.add(memory)
    return memory
  }
}

/** Bytes an index entry takes at least, for guessing how many a segment of some size has. */
const ENTRY_BYTES = HASH_BYTES + 20

/** Reads the whole index into a claim table, one segment after the other. */
export async function loadClaims(
  objects: SealedStore,
  workers: number,
  chunker: ChunkerSettings,
  regionBytes: number,
  signal: AbortSignal,
): Promise<Claims> {
  const stats = await listIndexSegments(objects, signal)
  const known = Math.ceil(stats.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / ENTRY_BYTES)
  const claims = new Claims(known, claimReserve(workers, chunker, regionBytes))
  for await (const { ids } of readIndexSegments(objects, stats, signal)) {
    for (let at = 0; at < ids.length; at += HASH_BYTES) claims.table.claim(ids.subarray(at, at + HASH_BYTES))
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
