import type { ReadableStore, SessionId, SnapshotId, StoreStat } from '@platter/core'
import type { PruneProgress } from '../api/prune-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { indexSessionOfName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { type SessionStanding, SessionTrust } from '../gc/session-trust.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { ChunkIndexBuilder } from '../index/chunk-index-builder.ts'
import { listIndexSegments, maxEntriesIn, readIndexSegments } from '../index/load-index.ts'
import { BlobReader } from '../pack/blob-reader.ts'
import { listPacks, listQuarantined } from '../pack/list-packs.ts'
import { lostRanges } from '../snapshots/damage-marks.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'
import { PackTable } from './pack-table.ts'
import { findReachable } from './reachability.ts'

/** What a survey needs of an open repository. */
export interface SurveyContext<S extends ReadableStore = ReadableStore> extends SealedStore<S> {
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  /** Of this prune alone, so that each record is read once in it. */
  readonly catalog: SnapshotCatalog
}

/** An index segment as it is listed. */
export interface SurveyedSegment {
  readonly stat: StoreStat
  readonly session: SessionId
  readonly standing: SessionStanding
  /** Numbers of its packs in the table. */
  readonly packs: readonly number[]
}

/** Everything a collector has to know of a repository at one time. */
export interface Survey {
  readonly snapshots: readonly Snapshot[]
  readonly segments: readonly SurveyedSegment[]
  readonly index: ChunkIndex
  readonly table: PackTable
  readonly reader: BlobReader
  /** One of `NEED` for the first index entry of every id: how much snapshots need it. */
  readonly needs: Uint8Array
  /** The same for every survey that would find the same. */
  readonly fingerprint: string
}

/**
 * Reads index, snapshots and names of packs, and finds what the snapshots need.
 *
 * @param assumed snapshots to be taken for forgotten, and sessions for fenced.
 * @param known an earlier survey, given back when nothing has changed since.
 * @throws whatever the store throws, and ERR_CORRUPT_* or ERR_CHUNK_MISSING for what cannot be read: a collector
 * that does not see everything must not remove anything.
 */
export async function survey(
  context: SurveyContext,
  assumed: { readonly forgotten: ReadonlySet<SnapshotId>; readonly fenced: ReadonlySet<SessionId> },
  known: Survey | undefined,
  signal: AbortSignal,
  onProgress: (progress: Pick<PruneProgress, 'phase' | 'done' | 'total'>) => void,
): Promise<Survey> {
  // In this order: a session that commits meanwhile counts as open, and what a snapshot needs is in the index.
  const trust = await SessionTrust.list(context, signal)
  const snapshots = (await context.catalog.list({ checkpoints: true }, signal)).filter(
    ({ id }) => !assumed.forgotten.has(id),
  )
  const lost = await lostRanges(context, signal)
  const stats = await listIndexSegments(context, signal)
  // After the index: a pack that a segment lists and that is not here is gone, not yet to come.
  const present = await listPacks(context.store, signal)
  const quarantined = await listQuarantined(context.store, signal)
  const standings: SessionStanding[] = []
  for (const { name } of stats) {
    const session = indexSessionOfName(name)!
    standings.push(assumed.fenced.has(session) ? 'fenced' : await trust.standing(session, signal))
  }
  const fingerprint = [
    ...stats.map(({ name }, i) => `${name} ${standings[i]}`),
    ...present.keys(),
    ...quarantined,
    ...snapshots.map(({ id }) => id),
    JSON.stringify([...lost]),
  ].join()
  if (known?.fingerprint === fingerprint) return known

  const builder = new ChunkIndexBuilder(maxEntriesIn(stats))
  const packCounts: number[] = []
  for await (const segment of readIndexSegments(context, stats, signal)) {
    builder.add(segment)
    packCounts.push(segment.packs.length)
    onProgress({ phase: 'index', done: packCounts.length, total: stats.length })
  }
  const index = builder.build()
  const packStandings = packCounts.flatMap((count, i) =>
    new Array<SessionStanding>(count).fill(standings[i]!),
  )
  const table = new PackTable(index, packStandings, present, quarantined)
  const reader = new BlobReader(context.store, index, context.keys)
  const { regionBytes } = context.config
  const needs = await findReachable({ snapshots, index, reader, regionBytes, lost }, signal, (done, total) =>
    onProgress({ phase: 'trees', done, total }),
  )
  let firstPack = 0
  const surveyed = stats.map((stat, i): SurveyedSegment => {
    const numbers = [...table.numberOf.subarray(firstPack, firstPack + packCounts[i]!)]
    firstPack += packCounts[i]!
    return { stat, session: indexSessionOfName(stat.name)!, standing: standings[i]!, packs: numbers }
  })
  return { snapshots, segments: surveyed, index, table, reader, needs, fingerprint }
}
