import type { Snapshot, Volume } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import {
  formatBytes,
  formatBytesExactly,
  formatCount,
  formatDuration,
  formatItems,
} from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { columns } from '../format/table.ts'
import { formatTime } from '../format/time.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const show: Command = {
  name: 'show',
  summary: 'Show all that is known about one snapshot.',
  operands: ['REPO', 'SNAPSHOT'],
  options: KEY_OPTIONS,

  async run(call: Call): Promise<ExitCode> {
    const [repositoryPath, reference] = call.operands as [string, string]
    await using repository = await openRepository(repositoryPath, call)
    const snapshot = await repository.snapshot(reference)
    call.report.result(snapshot, textOf(snapshot), snapshot.id)
    return ExitCode.done
  },
}

function textOf(snapshot: Snapshot): string {
  const { stats } = snapshot
  const rows = [
    ['snapshot', snapshot.id],
    ['name', printable(snapshot.name)],
    ['host', printable(snapshot.host)],
    ['time', `${formatTime(snapshot.time)} (${printable(snapshot.time)})`],
    ['tags', printable(snapshot.tags.join(', ')) || '-'],
    ['parent', snapshot.parent ?? '-'],
    ['written by', printable(snapshot.program)],
    ['read', `${formatBytesExactly(stats.bytesRead)} in ${formatDuration(stats.seconds)}`],
    ['zeros', formatBytesExactly(stats.bytesHole)],
    ['new', `${formatBytesExactly(stats.bytesNew)} in ${formatItems(stats.chunksNew, 'chunk')}`],
    ['known', formatItems(stats.chunksKnown, 'chunk')],
    ['stored', formatBytesExactly(stats.bytesStored)],
    ...snapshot.volumes.flatMap(volumeRows),
  ]
  return columns(rows)
}

/** Most bad ranges that are listed one by one; `--json` gives all. */
const LISTED_BAD_RANGES = 20

function volumeRows({ sizeBytes, source, imageDigest, badRanges }: Volume): string[][] {
  const unlisted = badRanges.length - LISTED_BAD_RANGES
  return [
    ['image', formatBytesExactly(sizeBytes)],
    ['source', `${printable(source.label)} (${printable(source.kind)})`],
    ['sectors', `${source.logicalSectorBytes} bytes logical, ${source.physicalSectorBytes} physical`],
    ['digest', imageDigest],
    ...badRanges
      .slice(0, LISTED_BAD_RANGES)
      .map(({ offset, length }) => ['unreadable', `${formatBytes(length)} at byte ${formatCount(offset)}`]),
    ...(unlisted > 0 ? [['unreadable', `and ${formatItems(unlisted, 'more range')}`]] : []),
  ]
}
