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
  { session, packs: { repacked } }: SweepRecord,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { store, keys } = context
  const sizes = await listPacks(store, signal)
  const going = repacked.filter((id) => sizes.has(id))
  if (session === undefined || going.length === 0) return undefined
  const index = await indexOf(context, indexPrefix(session), signal)
  if (typeof index === 'string') return index
  const packs = new Map<PackId, number>()
  for (const id of going) {
    for (const blob of await blobsOf(store, id, sizes.get(id)!, keys.pack, signal)) {
      for (let entry = index.find(blob); entry >= 0; entry = index.findNext(blob, entry)) {
        const pack = index.packs[index.packOf(entry)]!
        packs.set(pack.id, pack.fileBytes)
      }
    }
  }
  await using verifiers = new PackVerifiers(keys, 0)
  for await (const { problems } of verifyPacks(packs, { store, verifiers, signal }))
    if (problems[0] !== undefined) return problems[0].message
  return undefined
}

/** An index of what a collector's session lists; or what is wrong with it, so that it may list more. */
async function indexOf(
  { store, records }: SealedStore,
  prefix: string,
  signal: AbortSignal,
): Promise<ChunkIndex | string> {
  const names: string[] = []
  for await (const { name } of store.list(prefix, { signal })) names.push(name)
  if (names.length === 0) return `The index segments under ${prefix} are gone.`
  const segments: IndexSegment[] = []
  for (const name of names) {
    const read = async (): Promise<IndexSegment> =>
      decodeIndexSegment(name, await store.get(name, { maxBytes: MAX_INDEX_SEGMENT_BYTES, signal }), records)
    const segment = await unlessDamaged(read, signal)
    if (segment === undefined) return `The index segment ${name} cannot be read.`
    segments.push(segment)
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
