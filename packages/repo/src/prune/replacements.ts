import { type PackId, PlatterError, type ReadableStore } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import { PackVerifiers } from '../check/pack-verifiers.ts'
import { verifyPacks } from '../check/verify-packs.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { SweepRecord } from '../format/gc-records.ts'
import { decodeIndexSegment, type IndexSegment } from '../format/index-segment.ts'
import { MAX_INDEX_SEGMENT_BYTES } from '../format/limits.ts'
import { gcName, indexPrefix, packName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { readGcState } from '../gc/gc-state.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { chunkIndexOf } from '../index/chunk-index-builder.ts'
import { listPacks } from '../pack/list-packs.ts'
import { fetchPackDirectory } from '../pack/pack-directory.ts'

/** What looking at replacements needs of an open repository. */
export interface ReplacementContext extends SealedStore {
  readonly keys: RepositoryKeys
}

/**
 * Reads what a prune that died had stored in the place of packs which its sweep removes, before they are: a machine
 * that went down in the middle of it is where a pack may turn out not to be what it was.
 *
 * @throws ERR_PRUNE_UNFINISHED when it is damaged or gone, with nothing removed; and what the store throws.
 */
export async function assertReplacementsWhole(
  context: ReplacementContext,
  generation: number,
  sweep: SweepRecord,
  signal: AbortSignal,
): Promise<void> {
  const problem = await findProblem(context, sweep, signal)
  if (problem === undefined) return
  const { newest, idle } = await readGcState(context.store, signal)
  // Others have brought it to its end, and since then what was stored may have been moved on.
  if (idle || newest > generation) return
  throw new PlatterError(
    'ERR_PRUNE_UNFINISHED',
    `Prune number ${generation} was cut off, and of what it had stored in another place something is damaged: ${problem} Nothing was removed. Repair the packs; that takes it from where it was before, and ends the prune.`,
    { object: gcName(generation, 'sweep') },
  )
}

async function findProblem(
  context: ReplacementContext,
  sweep: SweepRecord,
  signal: AbortSignal,
): Promise<string | undefined> {
  const packs = await replacementPacks(context, sweep, signal)
  const { store, keys } = context
  await using verifiers = new PackVerifiers(keys, 0)
  for await (const { problems } of verifyPacks(packs, { store, verifiers, signal }))
    if (problems[0] !== undefined) return problems[0].message
  return undefined
}

/** Packs that the sweep's session stored and that hold what packs hold which are still there and will go. */
async function replacementPacks(
  { store, records, keys }: ReplacementContext,
  { session, packs: { repacked } }: SweepRecord,
  signal: AbortSignal,
): Promise<Map<PackId, number>> {
  const replacements = new Map<PackId, number>()
  if (session === undefined || repacked.length === 0) return replacements
  const index = await readableIndex({ store, records }, indexPrefix(session), signal)
  const sizes = await listPacks(store, signal)
  for (const id of repacked) {
    const fileBytes = sizes.get(id)
    if (fileBytes === undefined) continue
    for (const blob of await blobsOf(store, id, fileBytes, keys.pack, signal)) {
      for (let entry = index.find(blob); entry >= 0; entry = index.findNext(blob, entry)) {
        const pack = index.packs[index.packOf(entry)]!
        replacements.set(pack.id, pack.fileBytes)
      }
    }
  }
  return replacements
}

/** An index of those segments below a prefix that can be read. What the others list is listed by a repair. */
async function readableIndex(
  { store, records }: SealedStore,
  prefix: string,
  signal: AbortSignal,
): Promise<ChunkIndex> {
  const segments: IndexSegment[] = []
  for await (const { name } of store.list(prefix, { signal })) {
    const read = async (): Promise<IndexSegment> =>
      decodeIndexSegment(name, await store.get(name, { maxBytes: MAX_INDEX_SEGMENT_BYTES, signal }), records)
    const segment = await unlessDamaged(read, signal)
    if (segment !== undefined) segments.push(segment)
  }
  return chunkIndexOf(segments)
}

/** Ids of the blobs in a pack; none when it cannot tell. */
async function blobsOf(
  store: ReadableStore,
  id: PackId,
  fileBytes: number,
  packKey: Uint8Array | undefined,
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  const read = (): ReturnType<typeof fetchPackDirectory> =>
    fetchPackDirectory(store, packName(id), fileBytes, packKey, { signal })
  const directory = await unlessDamaged(read, signal)
  return directory === undefined ? [] : directory.entries.map((entry) => entry.id)
}

async function unlessDamaged<Result>(
  read: () => Promise<Result>,
  signal: AbortSignal,
): Promise<Result | undefined> {
  try {
    return await read()
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof PlatterError && DAMAGE.has(error.code)) return undefined
    throw error
  }
}
