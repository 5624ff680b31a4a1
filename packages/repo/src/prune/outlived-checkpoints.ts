import type { SnapshotId } from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'

const DAY_MILLIS = 24 * 60 * 60 * 1000

/**
 * Checkpoints that need not be kept: of backups that a later, finished one of the same image and host has taken the
 * place of, and of those that nobody has resumed for long. A backup under way does not rely on its checkpoints, so
 * a wrong clock costs at worst that something is stored twice.
 */
export async function outlivedCheckpoints(
  catalog: SnapshotCatalog,
  maxAgeDays: number,
  nowMillis: number,
  signal: AbortSignal,
): Promise<SnapshotId[]> {
  const all = await catalog.list({ checkpoints: true }, signal)
  const image = ({ name, host }: Snapshot): string => JSON.stringify([name, host])
  const finished = new Map<string, number>()
  for (const snapshot of all) {
    if (snapshot.checkpoint) continue
    const time = Date.parse(snapshot.time)
    finished.set(image(snapshot), Math.max(time, finished.get(image(snapshot)) ?? time))
  }
  return all
    .filter((snapshot) => {
      const time = Date.parse(snapshot.time)
      const finishedAt = finished.get(image(snapshot))
      const outlived = finishedAt !== undefined && finishedAt >= time
      return snapshot.checkpoint && (outlived || nowMillis - time > maxAgeDays * DAY_MILLIS)
    })
    .map(({ id }) => id)
}
