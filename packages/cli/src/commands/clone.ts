import {
  type CloneProgress,
  cloneDisk,
  inspectTarget,
  openDisk,
  openTarget,
  planDiskRestore,
} from '@platter/fs-adapters'
import type { Call, Command } from '../command-line/command.ts'
import { DISK_OPTIONS, diskOptions } from '../command-line/disk-options.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { planRecord, planText } from '../output/disk-plan.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { assertDistinct } from '../repository/placement.ts'

export const clone: Command = {
  name: 'clone',
  summary: 'Copy a disk to another, without a repository, and verify the copy.',
  operands: ['SOURCE', 'TARGET'],
  options: {
    ...DISK_OPTIONS,
    exact: { kind: 'flag', help: 'Copy free blocks too, which read as zeros on the target otherwise.' },
    'no-verify': { kind: 'flag', help: 'Do not read the target back.' },
    force: { kind: 'flag', help: 'Overwrite a file that exists, or a device that is mounted.' },
  },
  notes:
    'SOURCE is only read; it must not be in use, or be a snapshot of what is. The partition table is written last,\n' +
    'when the copy has been read back and compared.',

  whenInterrupted: 'The target is incomplete. It has no partition table.',

  async run({ operands, options, io, report }: Call): Promise<ExitCode> {
    const [sourcePath, targetPath] = operands as [string, string]
    if (sourcePath === '-' || targetPath === '-')
      throw new UsageError('A disk is cloned to a disk or a file, not through -.')
    const changes = diskOptions(options)
    const force = options.has('force')
    await assertDistinct(sourcePath, targetPath)
    await using source = await openDisk(sourcePath, {
      policy: options.has('exact') ? 'exact' : 'used',
      onWarning: (warning) => report.warning(warning),
      signal: io.signal,
    })
    if (options.has('dry-run')) {
      const inspected = await inspectTarget(targetPath)
      const plan = await planDiskRestore(source, inspected, { ...changes, signal: io.signal })
      report.result(
        { dryRun: true, target: inspected, plan: planRecord(plan) },
        planText(sourcePath, inspected, plan),
      )
      return ExitCode.done
    }
    await using target = await openTarget(targetPath, { overwrite: force, force, signal: io.signal })
    const { plan, ...stats } = await cloneDisk(source, target, {
      ...changes,
      verify: !options.has('no-verify'),
      signal: io.signal,
      onProgress: (progress) => report.progress(viewOf(progress), { command: 'clone', ...progress }),
    })
    const { bytesWritten, bytesZeroed, bytesVerified } = stats
    report.result(
      { source: sourcePath, target: targetPath, ...stats, plan: planRecord(plan) },
      [
        `Cloned ${printable(sourcePath)} to ${printable(targetPath)}`,
        `  ${formatBytes(bytesWritten)} written, ${formatBytes(bytesZeroed)} of zeros, ${formatBytes(bytesVerified)} read back and compared`,
        ...plan.notes.map((note) => `  ${printable(note)}`),
      ].join('\n'),
    )
    return ExitCode.done
  },
}

function viewOf({ phase, bytesDone, bytesTotal }: CloneProgress): ProgressView {
  return { phase, unit: 'bytes', done: bytesDone, total: bytesTotal, bytesMoved: bytesDone, notes: [] }
}
