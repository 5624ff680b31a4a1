import type { Snapshot } from '@platter/repo'
import { formatBytes } from './amounts.ts'
import { printable } from './printable.ts'
import { columns } from './table.ts'
import { formatTime } from './time.ts'

const SHORT_ID_DIGITS = 8

/** Enough of an id to name a snapshot in practice. */
export function shortId(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS)
}

/** Size of all images in a snapshot, in bytes. */
export function imageBytes(snapshot: Snapshot): number {
  return snapshot.volumes.reduce((sum, volume) => sum + volume.sizeBytes, 0)
}

/** Snapshots as a table, one a line. */
export function snapshotTable(snapshots: readonly Snapshot[]): string {
  const rows = snapshots.map((snapshot) => [
    shortId(snapshot.id),
    formatTime(snapshot.time),
    formatBytes(imageBytes(snapshot)),
    formatBytes(snapshot.stats.bytesStored),
    printable(snapshot.host),
    printable(snapshot.name),
    printable([...(snapshot.checkpoint ? ['(checkpoint)'] : []), ...snapshot.tags].join(', ')),
  ])
  return columns([['ID', 'TIME', 'IMAGE', 'ADDED', 'HOST', 'NAME', 'TAGS'], ...rows], [2, 3])
}
