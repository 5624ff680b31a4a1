import type { CheckOptions, CheckProgress, CheckReport } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatDuration, formatItems } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { shortId } from '../format/snapshot-text.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const check: Command = {
  name: 'check',
  summary: 'Look for damage in a repository.',
  operands: ['REPO'],
  options: {
    'read-data': {
      kind: 'optional-value',
      placeholder: 'FRACTION',
      help: 'Also read and verify all data, or a random part such as 0.05 or 5%.',
    },
    ...KEY_OPTIONS,
  },
  notes:
    'Without --read-data, check verifies that everything the snapshots need is there, but does not read the data\n' +
    'itself. Exit code 3 says that damage was found; the report names the snapshots it concerns.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const settings = { ...options.workers(), ...readDataOption(options) }
    await using repository = await openRepository(operands[0]!, call)
    const result = await repository.check({
      ...settings,
      signal: io.signal,
      onProgress: (progress) => report.progress(viewOf(progress), { command: 'check', ...progress }),
    })
    report.result(result, textOf(result), result.findings.map(findingText).join('\n'))
    return result.findings.length > 0 ? ExitCode.findings : ExitCode.done
  },
}

function readDataOption(options: OptionValues): Pick<CheckOptions, 'readData'> {
  const fraction = options.fraction('read-data')
  if (fraction === undefined || fraction === 1) return { readData: options.has('read-data') }
  return { readData: { fraction } }
}

function viewOf({ phase, done, total, bytesRead }: CheckProgress): ProgressView {
  return { phase: `checking ${phase}`, unit: 'steps', done, total, bytesMoved: bytesRead, notes: [] }
}

function textOf(report: CheckReport): string {
  const { findings, snapshots, chunks, packs, packsRead, bytesRead, seconds } = report
  const read =
    packsRead === 0 ? '' : `, ${formatItems(packsRead, 'pack')} read in full (${formatBytes(bytesRead)})`
  return [
    ...findings.map(findingText),
    `Checked ${formatItems(snapshots, 'snapshot')}, ${formatItems(chunks, 'chunk')} and ${formatItems(packs, 'pack')}` +
      `${read} in ${formatDuration(seconds)}.`,
    findings.length === 0 ? 'No damage was found.' : `Damage: ${formatItems(findings.length, 'finding')}.`,
  ].join('\n')
}

function findingText({ code, message, object, snapshots }: CheckReport['findings'][number]): string {
  const where = object === undefined ? [] : [`  object ${printable(object)}`]
  const whom = snapshots.length === 0 ? [] : [`  concerns ${snapshots.map(shortId).join(', ')}`]
  return [`${printable(message)} (${code})`, ...where, ...whom].join('\n')
}
