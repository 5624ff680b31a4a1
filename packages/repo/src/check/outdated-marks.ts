import type { SnapshotId } from '@platter/core'
import { DAMAGE_PREFIX } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { lostRanges } from '../snapshots/damage-marks.ts'
import type { Findings } from './findings.ts'

/**
 * Names snapshots that a repair has marked as damaged and that nothing is wrong with any more, as when a later backup
 * has stored anew what they lacked. Restores refuse them until a repair takes the mark back. To be called when all data
 * was read and all trees were walked.
 *
 * @throws what the store throws. Marks that cannot be read are no concern of this.
 */
export async function findOutdatedMarks(
  objects: SealedStore,
  snapshots: readonly SnapshotId[],
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  const marks = await lostRanges(objects, signal)
  const damaged = new Set(findings.list().flatMap((finding) => finding.snapshots))
  for (const id of snapshots) {
    if (!marks.has(id) || damaged.has(id)) continue
    const object = `${DAMAGE_PREFIX}${id}`
    const message = `Snapshot ${id} is marked as damaged, but nothing that it needs is. Restores refuse it until a repair of the packs takes the mark back.`
    findings.add({ key: object, code: 'ERR_SNAPSHOT_DAMAGED', message, object }, id)
  }
}
