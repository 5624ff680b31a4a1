import { PlatterError } from '@platter/core'
import { openTarget } from '@platter/fs-adapters'
import type { RestoreProgress, RestoreStats, Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatDuration, formatRate } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { rangeText, shortId } from '../format/snapshot-text.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'
import { assertTargetOutside } from '../repository/placement.ts'

export const restore: Command = {
  name: 'restore',
  summary: 'Write the image of a snapshot to a file, a block device or standard output.',
  operands: ['REPO', 'SNAPSHOT', 'TARGET'],
  options: {
    'only-different': { kind: 'flag', help: 'Read what is on the target and write only what differs.' },
    partial: { kind: 'flag', help: 'Restore what is left of a damaged snapshot, with zeros for the rest.' },
    force: { kind: 'flag', help: 'Overwrite a file that exists, or a device that is mounted.' },
    ...KEY_OPTIONS,
  },
  notes:
    'With TARGET - the image, and nothing else, goes to standard output; the result goes to standard error\n' +
    '(with --json as {"result": ...}).\n' +
    'With --partial, exit code 3 says that ranges are lost; the result lists them.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const [repositoryPath, reference, targetPath] = operands as [string, string, string]
    const workers = options.workers()
    const onlyDifferent = options.has('only-different')
    const allowDamaged = options.has('partial')
    const force = options.has('force')
    if (allowDamaged && onlyDifferent)
      throw new UsageError('--partial writes all that is left; it does not go with --only-different.')
    if (targetPath === '-') {
      if (io.stdout.isTTY) {
        throw new UsageError(
          'TARGET - writes the image to standard output, and that is a terminal.',
          'Redirect it.',
        )
      }
      if (onlyDifferent) throw new UsageError('--only-different needs a target that can be read, not -.')
      report.leaveStdout()
    }
    await assertTargetOutside(targetPath, repositoryPath)
    await using repository = await openRepository(repositoryPath, call)
    // Before the target is touched: a snapshot that does not exist must not cost a file that does.
    const snapshot = await repository.snapshot(reference)
    await using target = await openTarget(targetPath, {
      overwrite: force || onlyDifferent,
      force,
      signal: io.signal,
    })

    let started = false
    try {
      const stats = await repository.restore(snapshot.id, target, {
        ...workers,
        onlyDifferent,
        allowDamaged,
        signal: io.signal,
        onProgress: (progress) => {
          started = true
          report.progress(viewOf(progress), { command: 'restore', ...progress })
        },
      })
      report.result(
        { snapshot: snapshot.id, target: targetPath, ...stats },
        summaryOf(snapshot, targetPath, stats),
      )
      return (stats.damagedRanges ?? []).length > 0 ? ExitCode.findings : ExitCode.done
    } catch (error) {
      if (started || PlatterError.is(error, 'ERR_TARGET_WRITE')) {
        const where = targetPath === '-' ? 'What went to standard output' : `What is on ${targetPath} now`
        report.warning({ code: 'WARN_TARGET_INCOMPLETE', message: `${where} is not the whole image.` })
      }
      throw error
    }
  },
}

function viewOf({ bytesDone, bytesTotal, bytesWritten }: RestoreProgress): ProgressView {
  return {
    phase: 'restoring',
    unit: 'bytes',
    done: bytesDone,
    total: bytesTotal,
    bytesMoved: bytesWritten,
    notes: [`${formatBytes(bytesWritten)} written`],
  }
}

function summaryOf(snapshot: Snapshot, target: string, stats: RestoreStats): string {
  const { bytesTotal, bytesWritten, bytesZeroed, bytesUnchanged, seconds } = stats
  const where = target === '-' ? 'standard output' : printable(target)
  const unchanged = bytesUnchanged > 0 ? `, ${formatBytes(bytesUnchanged)} was there already` : ''
  return (
    `Restored snapshot ${shortId(snapshot.id)} of ${printable(snapshot.name)}, ${formatBytes(bytesTotal)}, to ${where}\n` +
    `  ${formatBytes(bytesWritten)} written, ${formatBytes(bytesZeroed)} of zeros${unchanged}, ` +
    `in ${formatDuration(seconds)}, ${formatRate(bytesTotal, seconds)}` +
    (stats.damagedRanges ?? []).map((range) => `\n  lost: ${rangeText(range)}, zeros there`).join('')
  )
}
