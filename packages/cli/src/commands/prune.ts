import type { PruneOptions, PrunePlan, PruneProgress, PruneReport } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatDuration, formatItems } from '../format/amounts.ts'
import { shortId } from '../format/snapshot-text.ts'
import { columns } from '../format/table.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const prune: Command = {
  name: 'prune',
  summary: 'Give back the space that no snapshot needs.',
  operands: ['REPO'],
  options: {
    'dry-run': { kind: 'flag', help: 'Only say what would be done.' },
    'max-unused': {
      kind: 'value',
      placeholder: 'PERCENT',
      help: 'Leave so much unneeded data in packs that are needed in part. Default 5.',
    },
    'max-repack': {
      kind: 'value',
      placeholder: 'SIZE',
      help: 'Store at most so much again to empty such packs, such as 10G. Default 16G.',
    },
    wait: { kind: 'flag', help: 'Wait for backups that are under way.' },
    ...KEY_OPTIONS,
  },
  notes:
    'Backups, restores and other prunes may run at the same time. When backups are under way, prune does not wait\n' +
    'for them: it marks what may go, and exit code 3 says that a later prune, after they have ended, must do the\n' +
    'rest. A backup that has given no sign of life for an hour counts as dead and is ended.',
  whenInterrupted: 'No snapshot has suffered. The next prune goes on from there.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const settings: PruneOptions = {
      ...settingsOf(options),
      signal: io.signal,
      onProgress: (progress) => report.progress(viewOf(progress), { command: 'prune', ...progress }),
    }
    await using repository = await openRepository(operands[0]!, call)
    if (options.has('dry-run')) {
      const plan = await repository.planPrune(settings)
      report.result(plan, planText(plan), `${plan.bytesRemoved - plan.bytesRepacked}`)
      return ExitCode.done
    }
    const result = await repository.prune(undefined, { ...settings, wait: options.has('wait') })
    report.result(result, reportText(result))
    return result.outcome === 'pending' ? ExitCode.findings : ExitCode.done
  },
}

function settingsOf(options: OptionValues): PruneOptions {
  const maxUnusedFraction = options.percent('max-unused')
  const maxRepackBytes = options.bytes('max-repack')
  return {
    ...(maxUnusedFraction === undefined ? {} : { maxUnusedFraction }),
    ...(maxRepackBytes === undefined ? {} : { maxRepackBytes }),
  }
}

function viewOf({ phase, done, total, bytesRepacked }: PruneProgress): ProgressView {
  return { phase, unit: 'steps', done, total, bytesMoved: bytesRepacked, notes: [] }
}

function planText(plan: PrunePlan): string {
  const { packs, quarantined, bytesBefore, bytesRemoved, bytesRepacked, checkpoints, writers, unfinished } =
    plan
  const row = (what: string, fate: string): string[] => {
    const those = packs.filter((pack) => pack.fate === fate)
    const bytes = those.reduce((sum, pack) => sum + pack.fileBytes, 0)
    return [what, formatItems(those.length, 'pack'), formatBytes(bytes)]
  }
  const after = bytesBefore - bytesRemoved + bytesRepacked
  return [
    columns(
      [
        row('needed by no snapshot', 'unreferenced'),
        row('listed nowhere', 'unlisted'),
        row('needed in part', 'repack'),
        ['to be stored again', '', formatBytes(bytesRepacked)],
      ],
      [1, 2],
    ),
    `Packs take ${formatBytes(bytesBefore)}, of which ${percent(plan.unusedFractionBefore)} is not needed; ` +
      `afterwards ${formatBytes(after)} and ${percent(plan.unusedFractionAfter)}.`,
    ...(quarantined.length === 0
      ? []
      : [`${formatItems(quarantined.length, 'damaged pack')} that a repair has put aside would stay.`]),
    ...(unfinished === undefined ? [] : [`Prune ${unfinished} has not ended and would be finished first.`]),
    ...(checkpoints.length === 0
      ? []
      : [`${formatItems(checkpoints.length, 'checkpoint')} no longer needed.`]),
    ...writers.map(
      ({ session, lastSeen = 'an unknown time', dead }) =>
        `Backup ${shortId(session)}, last seen at ${lastSeen}, ${dead ? 'counts as dead' : 'is under way'}.`,
    ),
  ].join('\n')
}

function reportText(report: PruneReport): string {
  const { outcome, packsRemoved, bytesRemoved, bytesRepacked, packsKept, waitingFor, seconds } = report
  const { sessionsFenced } = report
  const ended =
    sessionsFenced.length === 0
      ? []
      : [`Ended ${formatItems(sessionsFenced.length, 'backup')} that seemed dead.`]
  if (outcome === 'nothing') return [...ended, 'There is nothing to be done.'].join('\n')
  const again = bytesRepacked === 0 ? '' : `, ${formatBytes(bytesRepacked)} stored again`
  const lines = [
    ...ended,
    `Removed ${formatItems(packsRemoved, 'pack')} (${formatBytes(bytesRemoved)})${again} in ${formatDuration(seconds)}.`,
  ]
  if (packsKept > 0)
    lines.push(`${formatItems(packsKept, 'pack')} turned out to be needed, or could not be moved.`)
  if (waitingFor.length > 0) {
    lines.push(
      `Waiting for ${formatItems(waitingFor.length, 'backup')} under way: ${waitingFor.map(shortId).join(', ')}.`,
      'Run prune again when they have ended, or with --wait.',
    )
  }
  return lines.join('\n')
}

function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`
}
