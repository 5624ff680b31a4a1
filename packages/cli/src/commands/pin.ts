import type { Call, Command } from '../command-line/command.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { printable } from '../format/printable.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'
import { givenPin } from '../repository/pin.ts'

export const pinAccept: Command = {
  name: 'pin accept',
  summary: 'Take the present state of a repository as the one to hold it to.',
  operands: ['REPO'],
  options: KEY_OPTIONS,
  notes:
    'For a repository that was set back on purpose, such as from a copy, or from which\n' +
    'objects were removed by hand. Says what differs from what was seen before. Nothing\n' +
    'in the repository is changed. Whoever else uses the pin file must not do so meanwhile.',

  async run(call: Call): Promise<ExitCode> {
    const pin = givenPin(call)
    if (pin === undefined) throw new UsageError('Which pin? Name it with --pin-file.')
    await using repository = await openRepository(call.operands[0]!, call, { acceptRollback: true })
    call.report.result(
      { repository: repository.id, pin: pin.label },
      `The pin ${printable(pin.label)} now holds the repository ${repository.id} to its present state.`,
      repository.id,
    )
    return ExitCode.done
  },
}
