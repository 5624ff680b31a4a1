import type { ByteRange, Snapshot, Volume } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytesExactly, formatDuration, formatItems } from '../format/amounts.ts'
import { diskText } from '../format/disk-text.ts'
import { printable } from '../format/printable.ts'
import { rangeText, withDamage } from '../format/snapshot-text.ts'
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
    const damaged = await repository.damagedSnapshots({ signal: call.io.signal })
    const text = [
      textOf(snapshot, damaged.get(snapshot.id) ?? []),
      ...snapshot.volumes.flatMap(({ disk, sizeBytes }) =>
        disk === undefined ? [] : ['', diskText(disk, sizeBytes, call.io)],
      ),
    ].join('\n')
    call.report.result(withDamage(snapshot, damaged), text, snapshot.id)
    return ExitCode.done
  },
}

function textOf(snapshot: Snapshot, damaged: readonly ByteRange[]): string {
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
    ...(stats.bytesUnused === undefined ? [] : [['left out', formatBytesExactly(stats.bytesUnused)]]),
    ['new', `${formatBytesExactly(stats.bytesNew)} in ${formatItems(stats.chunksNew, 'chunk')}`],
    ['known', formatItems(stats.chunksKnown, 'chunk')],
    ['stored', formatBytesExactly(stats.bytesStored)],
    ...snapshot.volumes.flatMap(volumeRows),
    ...rangeRows('damaged', damaged),
  ]
  return columns(rows)
}

/** Most ranges that are listed one by one; `--json` gives all. */
const LISTED_RANGES = 20

function volumeRows({ sizeBytes, source, imageDigest, badRanges }: Volume): string[][] {
  return [
    ['image', formatBytesExactly(sizeBytes)],
    ['source', `${printable(source.label)} (${printable(source.kind)})`],
    ['sectors', `${source.logicalSectorBytes} bytes logical, ${source.physicalSectorBytes} physical`],
    ['digest', imageDigest],
    ...rangeRows('unreadable', badRanges),
  ]
}

function rangeRows(what: string, ranges: readonly ByteRange[]): string[][] {
  const unlisted = ranges.length - LISTED_RANGES
  return [
    ...ranges.slice(0, LISTED_RANGES).map((range) => [what, rangeText(range)]),
    ...(unlisted > 0 ? [[what, `and ${formatItems(unlisted, 'more range')}`]] : []),
  ]
}
