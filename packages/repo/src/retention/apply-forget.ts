import { PlatterError, type SnapshotId } from '@platter/core'
import type { ForgetPlan } from '../api/forget-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'

/** Tombstones written at once. */
const CONCURRENCY = 8

/** Carries a plan out; see `Repository.applyForget`. */
export async function applyForget(
  catalog: SnapshotCatalog,
  plan: ForgetPlan,
  writeTombstone: (id: SnapshotId) => Promise<void>,
  signal: AbortSignal,
): Promise<SnapshotId[]> {
  const listed = new Set(await catalog.ids(signal))
  const gone = plan.snapshots.find(({ keep, snapshot }) => keep && !listed.has(snapshot.id))
  if (gone !== undefined) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The plan is out of date: the snapshot ${gone.snapshot.id}, which it keeps, is not in the repository any more. Nothing was forgotten; make a new plan.`,
      { object: gone.snapshot.id },
    )
  }
  const ids = plan.snapshots.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.id)
  const forget = async (id: SnapshotId): Promise<SnapshotId> => {
    signal.throwIfAborted()
    await writeTombstone(id)
    return id
  }
  const forgotten: SnapshotId[] = []
  // Those that another has forgotten meanwhile are done already.
  const left = ids.filter((id) => listed.has(id))
  for await (const id of mapConcurrently(left, CONCURRENCY, forget)) forgotten.push(id)
  return forgotten
}
