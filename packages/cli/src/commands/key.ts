import type { KeySlotInfo } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { printable } from '../format/printable.ts'
import { columns } from '../format/table.ts'
import { kdfOption } from '../io.ts'
import { KEY_OPTIONS, NEW_KEY_OPTIONS, newCredentials } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const keyList: Command = {
  name: 'key list',
  summary: 'List what opens the repository.',
  operands: ['REPO'],
  options: KEY_OPTIONS,

  async run(call: Call): Promise<ExitCode> {
    await using repository = await openRepository(call.operands[0]!, call)
    const slots = await repository.keys.list()
    const text = columns(slots.map(rowOf))
    call.report.result({ keys: slots }, text, slots.map(({ id }) => id).join('\n'))
    return ExitCode.done
  },
}

export const keyAdd: Command = {
  name: 'key add',
  summary: 'Let another passphrase or key file open the repository.',
  operands: ['REPO'],
  options: { ...KEY_OPTIONS, ...NEW_KEY_OPTIONS },

  async run(call: Call): Promise<ExitCode> {
    const { operands, report } = call
    await using repository = await openRepository(operands[0]!, call)
    const id = await repository.keys.add({
      ...(await newCredentials(call)),
      ...labelOption(call),
      ...kdfOption(call.io),
    })
    report.result({ key: id }, `Added key slot ${id}.`, id)
    return ExitCode.done
  },
}

export const keyChange: Command = {
  name: 'key change',
  summary: 'Replace the passphrase or key file that the repository is opened with.',
  operands: ['REPO'],
  options: { ...KEY_OPTIONS, ...NEW_KEY_OPTIONS },
  notes:
    'The new key slot is stored before the old one is removed. The key that images are encrypted with\n' +
    'stays the same: whoever had opened the repository before may have kept it.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, report } = call
    await using repository = await openRepository(operands[0]!, call)
    const id = await repository.keys.change({
      ...(await newCredentials(call)),
      ...labelOption(call),
      ...kdfOption(call.io),
    })
    report.result({ key: id }, `Changed; the key slot is now ${id}.`, id)
    return ExitCode.done
  },
}

export const keyRemove: Command = {
  name: 'key remove',
  summary: 'Take the way in from a passphrase or key file.',
  operands: ['REPO', 'KEY'],
  options: KEY_OPTIONS,
  notes: 'KEY is the id of a key slot or its first digits, four or more. The last one stays.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, report } = call
    await using repository = await openRepository(operands[0]!, call)
    const id = await repository.keys.remove(operands[1]!)
    report.result({ removed: id }, `Removed key slot ${id}.`, id)
    return ExitCode.done
  },
}

function labelOption({ options }: Call): { readonly label?: string } {
  const label = options.text('label')
  return label === undefined ? {} : { label }
}

function rowOf({ id, kind, label, created, inUse, problem }: KeySlotInfo): string[] {
  return [
    inUse ? '*' : '',
    id.slice(0, 8),
    kind ?? 'damaged',
    created.slice(0, 10),
    printable(problem ?? label),
  ]
}
