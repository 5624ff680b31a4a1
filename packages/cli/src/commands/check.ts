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
      placeholder: 'PART',
      help: 'Also read and verify all data, a random part such as 0.05 or 5%, or part 2/7 of seven.',
    },
    drill: {
      kind: 'optional-value',
      placeholder: 'SNAPSHOT',
      help: 'Also restore a snapshot to nowhere and compare its digest (default: latest).',
    },
    ...KEY_OPTIONS,
  },
  notes:
    'Without --read-data, check verifies that everything the snapshots need is there, but does not read the data\n' +
    'itself. Seven runs with --read-data=1/7 to 7/7 read every pack once, whatever their order.\n' +
    'Exit code 3 says that damage was found; the report names the snapshots it concerns.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const drill = options.has('drill') ? { drill: options.text('drill') ?? 'latest' } : {}
    const settings = { ...options.workers(), ...readDataOption(options), ...drill }
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
  const [, part, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(options.text('read-data') ?? '') ?? []
  if (part !== undefined && Number(part) >= 1 && Number(part) <= Number(of)) {
    return { readData: { part: Number(part), of: Number(of) } }
  }
  const fraction = options.fraction('read-data')
  if (fraction === undefined || fraction === 1) return { readData: options.has('read-data') }
  return { readData: { fraction } }
}

function viewOf({ phase, done, total, bytesRead }: CheckProgress): ProgressView {
  const isDrill = phase === 'drill'
  const label = isDrill ? 'restore drill' : `checking ${phase}`
  return { phase: label, unit: isDrill ? 'bytes' : 'steps', done, total, bytesMoved: bytesRead, notes: [] }
}

function textOf(report: CheckReport): string {
  const { findings, snapshots, chunks, packs, packsRead, bytesRead, drilled, seconds } = report
  const read =
    packsRead === 0 ? '' : `, ${formatItems(packsRead, 'pack')} read in full (${formatBytes(bytesRead)})`
  return [
    ...findings.map(findingText),
    `Checked ${formatItems(snapshots, 'snapshot')}, ${formatItems(chunks, 'chunk')} and ${formatItems(packs, 'pack')}` +
      `${read} in ${formatDuration(seconds)}.`,
    ...(drilled === undefined ? [] : [`Restore drill of snapshot ${shortId(drilled)}.`]),
    findings.length === 0 ? 'No damage was found.' : `Damage: ${formatItems(findings.length, 'finding')}.`,
  ].join('\n')
}

function findingText({ code, message, object, snapshots }: CheckReport['findings'][number]): string {
  const where = object === undefined ? [] : [`  object ${printable(object)}`]
  const whom = snapshots.length === 0 ? [] : [`  concerns ${snapshots.map(shortId).join(', ')}`]
  return [`${printable(message)} (${code})`, ...where, ...whom].join('\n')
}
