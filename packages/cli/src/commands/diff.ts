import type { ByteRange, Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatItems } from '../format/amounts.ts'
import { imageBytes, shortId } from '../format/snapshot-text.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const diff: Command = {
  name: 'diff',
  summary: 'List the byte ranges in which two snapshots differ.',
  operands: ['REPO', 'A', 'B'],
  options: KEY_OPTIONS,
  notes: 'Snapshots that differ are no failure: the exit code is 0 either way.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, io, report } = call
    const [repositoryPath, referenceA, referenceB] = operands as [string, string, string]
    await using repository = await openRepository(repositoryPath, call)
    const a = await repository.snapshot(referenceA)
    const b = await repository.snapshot(referenceB)
    const { output } = report

    // The ranges are written as they come, for there may be more of them than fit into memory.
    const listing = report.json ? jsonListing(a, b) : textListing(Math.max(imageBytes(a), imageBytes(b)))
    let ranges = 0
    let bytesChanged = 0
    for await (const range of repository.diff(a.id, b.id, { signal: io.signal })) {
      // The reader may have seen enough.
      if (output.broken) return ExitCode.done
      output.write(listing.next(range))
      ranges++
      bytesChanged += range.length
    }
    if (report.json)
      output.write(`${listing.heading()}],"rangeCount":${ranges},"bytesChanged":${bytesChanged}}\n`)
    else if (!report.quiet) {
      const what = `${shortId(a.id)} and ${shortId(b.id)}`
      if (ranges === 0) output.write(`${what} are the same.\n`)
      else output.write(`${what} differ in ${formatItems(ranges, 'range')}, ${formatBytes(bytesChanged)}.\n`)
    }
    return ExitCode.done
  },
}

/** Turns ranges into text one by one. */
interface Listing {
  /** What stands before the first range; empty once it was given. */
  heading(): string
  /** The text of one range, with what stands before it. */
  next(range: ByteRange): string
}

function jsonListing(a: Snapshot, b: Snapshot): Listing {
  const heading = once(`{"a":"${a.id}","b":"${b.id}","ranges":[`)
  return {
    heading,
    next: ({ offset, length }) => `${heading() || ','}{"offset":${offset},"length":${length}}`,
  }
}

function textListing(largestImageBytes: number): Listing {
  const width = Math.max('OFFSET'.length, String(largestImageBytes).length)
  const line = (offset: string, length: string): string =>
    `${offset.padStart(width)}  ${length.padStart(width)}\n`
  const heading = once(line('OFFSET', 'LENGTH'))
  return { heading, next: ({ offset, length }) => heading() + line(String(offset), String(length)) }
}

/** The heading waits for the first range: when the comparison fails before, stdout stays empty. */
function once(text: string): () => string {
  let left = text
  return () => {
    const given = left
    left = ''
    return given
  }
}
