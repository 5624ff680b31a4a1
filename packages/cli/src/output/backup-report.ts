import type { SourceWarning } from '@platter/fs-adapters'
import type { BackupProgress, Snapshot } from '@platter/repo'
import { formatBytes, formatDuration, formatItems, formatRate } from '../format/amounts.ts'
import { leftOutOf, leftOutText, readWhole } from '../format/disk-text.ts'
import { printable } from '../format/printable.ts'
import { shortId } from '../format/snapshot-text.ts'
import { columns } from '../format/table.ts'
import type { ProgressView } from './progress-view.ts'

/** How far a backup has come, for people. */
export function backupProgress(progress: BackupProgress): ProgressView {
  const { phase, bytesDone, bytesTotal, bytesRead, bytesNew, bytesKnown } = progress
  return {
    phase,
    unit: 'bytes',
    done: bytesDone,
    total: bytesTotal,
    // Holes are passed at no cost; what is read is what takes time.
    bytesMoved: bytesRead,
    notes: [`${formatBytes(bytesNew)} new`, `${formatBytes(bytesKnown)} known`],
  }
}

/** What the source could not give. */
export function badRanges(snapshot: Snapshot): Snapshot['volumes'][number]['badRanges'] {
  return snapshot.volumes.flatMap((volume) => volume.badRanges)
}

/** The object `backup --json` answers. */
export function backupRecord(snapshot: Snapshot, warnings: readonly SourceWarning[]): object {
  const { bytesTotal, bytesRead, bytesHole, bytesNew, bytesStored, chunksNew, chunksKnown, seconds } =
    snapshot.stats
  const { bytesReused = 0, bytesUnused = 0 } = snapshot.stats
  return {
    snapshot: snapshot.id,
    name: snapshot.name,
    parent: snapshot.parent,
    bytesTotal,
    bytesRead,
    bytesHole,
    bytesUnused,
    bytesNew,
    bytesStored,
    chunksNew,
    chunksKnown,
    ...(bytesReused === 0 ? {} : { bytesReused }),
    seconds,
    badRanges: badRanges(snapshot),
    ...diskRecords(snapshot),
    warnings: warnings.map(({ code, message }) => ({ code, message })),
  }
}

/** What of the disk was left out, and what was read whole, and why. */
function diskRecords({ volumes }: Snapshot): object {
  const disk = volumes[0]?.disk
  return disk === undefined
    ? {}
    : { policy: disk.policy, leftOut: leftOutOf(disk), readWhole: readWhole(disk) }
}

/** What a backup did, for people. */
export function backupSummary(snapshot: Snapshot): string {
  const { bytesTotal, bytesRead, bytesHole, bytesNew, bytesStored, chunksNew, chunksKnown, seconds } =
    snapshot.stats
  const { bytesReused = 0, bytesUnused = 0 } = snapshot.stats
  const known = Math.max(0, bytesTotal - bytesHole - bytesUnused - bytesNew)
  const bad = badRanges(snapshot)
  const unreadable = bad.reduce((sum, range) => sum + range.length, 0)
  const rows = [
    ['read', formatBytes(bytesRead), `in ${formatDuration(seconds)}, ${formatRate(bytesRead, seconds)}`],
    ...(bytesReused === 0
      ? []
      : [['kept', formatBytes(bytesReused), 'unchanged by what was said, not read']]),
    ['zeros', formatBytes(bytesHole), 'holes or all zero, not stored'],
    ...(bytesUnused === 0 ? [] : [['left out', formatBytes(bytesUnused), leftOutNote(snapshot)]]),
    ['known', formatBytes(known), formatItems(chunksKnown, 'chunk')],
    [
      'new',
      formatBytes(bytesNew),
      `${formatItems(chunksNew, 'chunk')}, stored as ${formatBytes(bytesStored)}`,
    ],
    ...(bad.length === 0
      ? []
      : [['bad', formatBytes(unreadable), `${formatItems(bad.length, 'range')} unreadable, zeros kept`]]),
  ]
  return [
    `Snapshot ${shortId(snapshot.id)} of ${printable(snapshot.name)}, ${formatBytes(bytesTotal)}`,
    columns(rows, [1]).replace(/^/gm, '  '),
  ].join('\n')
}

function leftOutNote({ volumes }: Snapshot): string {
  const leftOut = volumes.flatMap(({ disk }) => (disk === undefined ? [] : leftOutOf(disk)))
  const what = leftOut.length === 0 ? 'not in use' : leftOutText(leftOut)
  return `${what}; --exact keeps it`
}
