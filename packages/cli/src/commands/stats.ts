import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytesExactly, formatCount } from '../format/amounts.ts'
import { columns } from '../format/table.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const stats: Command = {
  name: 'stats',
  summary: 'Show how much a repository holds and how much space it takes.',
  operands: ['REPO'],
  options: KEY_OPTIONS,

  async run(call: Call): Promise<ExitCode> {
    await using repository = await openRepository(call.operands[0]!, call)
    const figures = await repository.stats()
    const { bytesImages, bytesStored } = figures
    const rows = [
      ['repository', repository.id],
      ['snapshots', formatCount(figures.snapshots)],
      ['images', formatBytesExactly(bytesImages)],
      [
        'distinct data',
        `${formatBytesExactly(figures.bytesUnique)} in ${formatCount(figures.chunks)} chunks`,
      ],
      ['stored', formatBytesExactly(bytesStored)],
      ['  packs', `${formatBytesExactly(figures.bytesPacks)} in ${formatCount(figures.packs)} files`],
      ['  index', formatBytesExactly(figures.bytesIndex)],
      ...(bytesImages === 0
        ? []
        : [['stored / images', `${((bytesStored / bytesImages) * 100).toFixed(2)}%`]]),
    ]
    const text = columns(rows)
    call.report.result({ repository: repository.id, ...figures }, text, text)
    return ExitCode.done
  },
}
