import { PlatterError, type SnapshotId, type WritableStore } from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { decodeDamageMark, encodeDamageMark } from '../format/damage-record.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import { DAMAGE_PREFIX, damageMarkOfName, damageName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'

const CONCURRENCY = 8

/** The newest damage mark of a snapshot. */
export interface DamageMark {
  readonly number: number
  /** Empty when the snapshot is whole again; undefined when the mark itself cannot be read. */
  readonly ranges: readonly ByteRange[] | undefined
}

/**
 * The newest damage mark of each snapshot that ever had one, or of one snapshot alone.
 *
 * @param onDamaged told of marks that cannot be read. A mark only says what a restore would find out too, so one
 * that is unreadable stops nothing.
 */
export async function readDamageMarks(
  { store, records }: SealedStore,
  signal: AbortSignal,
  only?: SnapshotId,
  onDamaged?: (error: PlatterError) => void,
): Promise<Map<SnapshotId, DamageMark>> {
  const newest = new Map<SnapshotId, number>()
  for await (const { name } of store.list(only === undefined ? DAMAGE_PREFIX : `${DAMAGE_PREFIX}${only}/`, {
    signal,
  })) {
    const found = damageMarkOfName(name)
    if (found !== undefined) newest.set(found.id, Math.max(found.mark, newest.get(found.id) ?? 0))
  }
  const marks = new Map<SnapshotId, DamageMark>()
  const read = async ([id, number]: [SnapshotId, number]): Promise<void> => {
    const name = damageName(id, number)
    try {
      const bytes = await store.get(name, { maxBytes: MAX_RECORD_BYTES, signal })
      marks.set(id, { number, ranges: decodeDamageMark(name, bytes, records) })
    } catch (error) {
      if (!(error instanceof PlatterError && UNREADABLE.has(error.code))) throw error
      onDamaged?.(new PlatterError(error.code, error.message, { object: name, cause: error }))
      marks.set(id, { number, ranges: undefined })
    }
  }
  for await (const _ of mapConcurrently(newest, CONCURRENCY, read));
  return marks
}

/**
 * The ranges that the newest marks say are lost, for each snapshot that has any.
 *
 * @param onDamaged told of marks that cannot be read; a snapshot with such a one counts as whole.
 */
export async function lostRanges(
  objects: SealedStore,
  signal: AbortSignal,
  onDamaged?: (error: PlatterError) => void,
): Promise<Map<SnapshotId, readonly ByteRange[]>> {
  const lost = new Map<SnapshotId, readonly ByteRange[]>()
  for (const [id, { ranges = [] }] of await readDamageMarks(objects, signal, undefined, onDamaged))
    if (ranges.length > 0) lost.set(id, ranges)
  return lost
}

/** Says anew which ranges of a snapshot are damaged; `previous` is the mark that this one takes the place of. */
export async function writeDamageMark(
  { store, records }: SealedStore<WritableStore>,
  id: SnapshotId,
  ranges: readonly ByteRange[],
  previous: DamageMark | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let number = (previous?.number ?? -1) + 1; ; number++) {
    const name = damageName(id, number)
    const parts = encodeDamageMark(name, ranges, records)
    // What could not be read again is never written.
    decodeDamageMark(name, new Uint8Array(Buffer.concat(parts)), records)
    // Taken by another repair meanwhile: this one's word is newer.
    if ((await store.putIfAbsent(name, parts, { signal })) === 'created') return
  }
}

const UNREADABLE: ReadonlySet<string> = new Set([
  'ERR_CORRUPT_RECORD',
  'ERR_UNSUPPORTED_VERSION',
  'ERR_LIMIT_EXCEEDED',
  'ERR_NOT_FOUND',
])
