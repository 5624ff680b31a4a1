import type { ByteRange, Snapshot } from '@platter/repo'
import { formatBytes, formatCount } from './amounts.ts'
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

/** A range of an image: `512 B at byte 4,096`. */
export function rangeText({ offset, length }: ByteRange): string {
  return `${formatBytes(length)} at byte ${formatCount(offset)}`
}

/** Snapshots as a table, one a line; those among `damaged` say so. */
export function snapshotTable(
  snapshots: readonly Snapshot[],
  damaged: ReadonlyMap<string, readonly ByteRange[]> = new Map(),
): string {
  const isDamaged = snapshots.some(({ id }) => damaged.has(id))
  const rows = snapshots.map((snapshot) => [
    shortId(snapshot.id),
    formatTime(snapshot.time),
    formatBytes(imageBytes(snapshot)),
    formatBytes(snapshot.stats.bytesStored),
    printable(snapshot.host),
    printable(snapshot.name),
    printable([...(snapshot.checkpoint ? ['(checkpoint)'] : []), ...snapshot.tags].join(', ')),
    ...(isDamaged ? [damaged.has(snapshot.id) ? 'damaged' : ''] : []),
  ])
  const head = ['ID', 'TIME', 'IMAGE', 'ADDED', 'HOST', 'NAME', 'TAGS', ...(isDamaged ? ['STATE'] : [])]
  return columns([head, ...rows], [2, 3])
}

/** A snapshot as programs are told of it: with `damagedRanges` when a repair has marked it. */
export function withDamage(
  snapshot: Snapshot,
  damaged: ReadonlyMap<string, readonly ByteRange[]>,
): Snapshot & { readonly damagedRanges?: readonly ByteRange[] } {
  const damagedRanges = damaged.get(snapshot.id)
  return damagedRanges === undefined ? snapshot : { ...snapshot, damagedRanges }
}
