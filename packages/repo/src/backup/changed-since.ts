import { type BlockSource, PlatterError, type RandomSource } from '@platter/core'
import type { ChangedSince } from '../api/backup-types.ts'
import type { Warning } from '../api/repository-types.ts'
import type { ByteRange, Snapshot, Volume } from '../api/snapshot-types.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { ClaimTable } from '../index/claim-table.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { onlyVolume } from '../snapshots/only-volume.ts'
import { regionCount } from '../tree/tree-shape.ts'
import { VolumeTree } from '../tree/volume-tree.ts'
import { isDamage, UnchangedRegions } from './unchanged-regions.ts'

const DEFAULT_AUDIT_SAMPLES = 64
const REGIONS_PER_AUDIT_SAMPLE = 64

/** What a backup needs in order to take over parts of an earlier snapshot. */
export interface ChangedSinceContext {
  readonly source: BlockSource
  readonly regionBytes: number
  readonly keys: RepositoryKeys
  readonly random: RandomSource
  readonly known: Pick<ClaimTable, 'has'>
  /** The snapshot of an id, when it is there and not marked as damaged. */
  readonly findSound: (id: string) => Promise<Snapshot | undefined>
  readonly reader: () => Promise<BlobReader>
  readonly onWarning: (warning: Warning) => void
  readonly signal: AbortSignal
}

/** Regions to be taken over, and from where. */
export interface Unchanged {
  readonly snapshot: Snapshot
  readonly regions: UnchangedRegions
  /** Read of the source for the audit. */
  readonly bytesRead: number
}

/**
 * Finds out whether what is said to be unchanged since a snapshot can be relied upon; undefined, with a warning, when
 * it cannot, and everything has to be read.
 *
 * @throws ERR_INVALID_ARGUMENT for ranges that are none, and for streams.
 */
export async function openUnchanged(
  context: ChangedSinceContext,
  { snapshot: id, extents, auditSamples }: ChangedSince,
): Promise<Unchanged | undefined> {
  const { source, regionBytes, keys, random, known, signal } = context
  const sizeBytes = source.info.sizeBytes ?? 0
  if (source.sequential)
    throw wrong('What changed in a stream cannot be told in advance: a stream is read whole.')
  // Ranges that are wrong are a mistake of the caller's, whatever else there is to say.
  const changed = await changedRegions(extents, sizeBytes, regionBytes)
  const ignored = (why: string): undefined => {
    const message = `${why} Everything is read, whatever is said to have changed since.`
    context.onWarning({ code: 'WARN_CHANGES_IGNORED', message })
  }
  const snapshot = await context.findSound(id)
  if (snapshot === undefined) return ignored(`The snapshot ${id} is not there, or damaged.`)
  const volume = onlyVolume(snapshot)
  if (snapshot.checkpoint || volume.sizeBytes !== sizeBytes)
    return ignored(`The snapshot ${id} has ${volume.sizeBytes} bytes of this image of ${sizeBytes}.`)
  markBadRanges(volume, regionBytes, changed)
  const tree = new VolumeTree(await context.reader(), volume, regionBytes)
  const regions = new UnchangedRegions(tree, changed, known, signal)
  const samples = auditSamples ?? DEFAULT_AUDIT_SAMPLES + Math.ceil(changed.length / REGIONS_PER_AUDIT_SAMPLE)
  const audit = await regions.audit(source, keys, random, samples).catch((error: unknown) => {
    if (!isDamage(error)) throw error
  })
  if (audit === undefined) return ignored(`The snapshot ${id} is damaged.`)
  const { differs, bytesRead } = audit
  if (differs !== undefined)
    return ignored(
      `The source differs from the snapshot ${id} at byte ${differs}, which is said to be unchanged.`,
    )
  return { snapshot, regions, bytesRead }
}

/** 1 for each region that one of the ranges touches. */
async function changedRegions(
  extents: ChangedSince['extents'],
  sizeBytes: number,
  regionBytes: number,
): Promise<Uint8Array> {
  const changed = new Uint8Array(regionCount(sizeBytes, regionBytes))
  for await (const { offset, length } of extents) {
    if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0))
      throw wrong(`${length} bytes at ${offset} are no range of an image.`)
    // Whoever keeps track in blocks may name one that the image's end cuts short.
    mark(changed, { offset, length }, regionBytes)
  }
  return changed
}

/** What could not be read then may be readable now. */
function markBadRanges({ badRanges }: Volume, regionBytes: number, changed: Uint8Array): void {
  for (const range of badRanges) mark(changed, range, regionBytes)
}

function mark(changed: Uint8Array, { offset, length }: ByteRange, regionBytes: number): void {
  if (length > 0)
    changed.fill(1, Math.floor(offset / regionBytes), Math.ceil((offset + length) / regionBytes))
}

function wrong(what: string): PlatterError {
  return new PlatterError('ERR_INVALID_ARGUMENT', what)
}
