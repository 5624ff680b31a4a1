import type { BlockSource } from '@platter/core'
import { openDisk, type SourceWarning } from '@platter/fs-adapters'
import type { Call, Command } from '../command-line/command.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes } from '../format/amounts.ts'
import { diskText } from '../format/disk-text.ts'
import { printable } from '../format/printable.ts'

export const info: Command = {
  name: 'info',
  summary: 'Show what is on a disk: its partitions, filesystems, and what they use.',
  operands: ['SOURCE'],
  options: {},
  notes: 'SOURCE is only read. Nothing is backed up, and no repository is needed.',

  async run({ operands, io, report }: Call): Promise<ExitCode> {
    const path = operands[0]!
    if (path === '-') throw new UsageError('info needs a disk or an image file, not -.')
    const warnings: SourceWarning[] = []
    await using source: BlockSource = await openDisk(path, {
      signal: io.signal,
      onWarning: (warning) => {
        warnings.push(warning)
        report.warning(warning)
      },
    })
    const { disk } = source
    const { sizeBytes } = source.info
    if (disk === undefined || sizeBytes === undefined)
      throw new UsageError(
        `'${path}' is a stream, and can be read only once.`,
        'Name a disk or an image file.',
      )
    report.result(
      { source: path, sizeBytes, ...disk, warnings },
      `${printable(path)}, ${formatBytes(sizeBytes)}\n${diskText(disk, sizeBytes, io)}`,
    )
    return ExitCode.done
  },
}
