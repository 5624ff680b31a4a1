import { type BlockTarget, PlatterError } from '@platter/core'
import {
  type DiskRestoreOptions,
  type DiskRestorePlan,
  imageSource,
  inspectTarget,
  openTarget,
  planDiskRestore,
  RestoreJournalFile,
  type RestorePlace,
  restoreDisk,
} from '@platter/fs-adapters'
import type { Repository, RestoreOptions, RestoreProgress, RestoreStats, Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { DISK_OPTIONS, diskOptions, partitionNumber } from '../command-line/disk-options.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatDuration, formatRate } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { rangeText, shortId } from '../format/snapshot-text.ts'
import { planRecord, planText } from '../output/disk-plan.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'
import { assertTargetOutside } from '../repository/placement.ts'

export const restore: Command = {
  name: 'restore',
  summary: 'Write the image of a snapshot to a file, a block device or standard output.',
  operands: ['REPO', 'SNAPSHOT', 'TARGET'],
  options: {
    partition: {
      kind: 'value',
      placeholder: 'N',
      help: 'Restore partition N only, to a partition or a file.',
    },
    'only-different': { kind: 'flag', help: 'Read what is on the target and write only what differs.' },
    journal: {
      kind: 'value',
      placeholder: 'FILE',
      help: 'With --only-different: note in FILE how far it is, and go on from there after an interruption.',
    },
    ...DISK_OPTIONS,
    'keep-unused': {
      kind: 'flag',
      help: 'Leave what no filesystem used as it is on the target, instead of making it zero.',
    },
    'as-is': { kind: 'flag', help: 'Write the image as it is, without a look at its partition table.' },
    partial: { kind: 'flag', help: 'Restore what is left of a damaged snapshot, with zeros for the rest.' },
    force: { kind: 'flag', help: 'Overwrite a file that exists, or a device that is mounted.' },
    ...KEY_OPTIONS,
  },
  notes:
    'With TARGET - the image, and nothing else, goes to standard output; the result goes to standard error\n' +
    '(with --json as {"result": ...}).\n' +
    'On a device of another size the partition table is made to fit; it is written last.\n' +
    'With --partial, exit code 3 says that ranges are lost; the result lists them.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const [repositoryPath, reference, targetPath] = operands as [string, string, string]
    const workers = options.workers()
    const wishes = wishesOf(options, targetPath)
    if (targetPath === '-') {
      if (io.stdout.isTTY) {
        throw new UsageError(
          'TARGET - writes the image to standard output, and that is a terminal.',
          'Redirect it.',
        )
      }
      report.leaveStdout()
    }
    await assertTargetOutside(targetPath, repositoryPath)
    await using repository = await openRepository(repositoryPath, call)
    // Before the target is touched: a snapshot that does not exist must not cost a file that does.
    const snapshot = await repository.snapshot(reference)
    if (options.has('dry-run')) return await dryRun(call, repository, snapshot, targetPath, wishes)
    const force = options.has('force')
    await using target = await openTarget(targetPath, {
      overwrite: force || wishes.restore.onlyDifferent === true,
      force,
      signal: io.signal,
    })

    let started = false
    try {
      const plan = await planOf(repository, snapshot, target.info, wishes, io.signal)
      const stats = await restoreAsPlanned(repository, snapshot, target, plan, {
        ...workers,
        ...wishes.restore,
        signal: io.signal,
        onProgress: (progress) => {
          started = true
          report.progress(viewOf(progress), { command: 'restore', ...progress })
        },
      })
      const notes = plan?.notes ?? []
      report.result(
        { snapshot: snapshot.id, target: targetPath, ...stats, notes },
        summaryOf(snapshot, targetPath, stats) + notes.map((note) => `\n  ${printable(note)}`).join(''),
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

/** What the options ask for. */
interface Wishes {
  readonly restore: RestoreOptions
  readonly disk: DiskRestoreOptions
  /** Whether the image goes where it goes without a look at what is in it. */
  readonly asIs: boolean
  readonly isStream: boolean
}

function wishesOf(options: OptionValues, targetPath: string): Wishes {
  const onlyDifferent = options.has('only-different')
  const allowDamaged = options.has('partial')
  const isStream = targetPath === '-'
  const given = (names: readonly string[]): string | undefined => names.find((name) => options.has(name))
  const changing = given(['grow', 'new-ids', 'size'])
  const partial = given([
    'only-different',
    'partition',
    'keep-unused',
    'journal',
    'grow',
    'new-ids',
    'size',
    'dry-run',
  ])
  if (allowDamaged && partial !== undefined)
    throw new UsageError(`--partial writes all that is left; it does not go with --${partial}.`)
  if (isStream && onlyDifferent)
    throw new UsageError('--only-different needs a target that can be read, not -.')
  const seeking = changing ?? given(['keep-unused', 'dry-run'])
  if (isStream && seeking !== undefined) throw new UsageError(`--${seeking} does not go with TARGET -.`)
  if (options.has('journal') && !onlyDifferent) throw new UsageError('--journal goes with --only-different.')
  const looking = given(['partition']) ?? changing
  if (options.has('as-is') && looking !== undefined)
    throw new UsageError(`--as-is does not look at partitions, so it does not go with --${looking}.`)
  const partition = partitionNumber(options, 'partition')
  const journal = options.text('journal')
  return {
    restore: {
      onlyDifferent,
      allowDamaged,
      unused: options.has('keep-unused') ? 'keep' : 'zero',
      ...(journal === undefined ? {} : { journal: new RestoreJournalFile(journal) }),
    },
    disk: { ...diskOptions(options), ...(partition === undefined ? {} : { partition }) },
    asIs: options.has('as-is') || allowDamaged || (isStream && partition === undefined),
    isStream,
  }
}

async function planOf(
  repository: Repository,
  snapshot: Snapshot,
  place: RestorePlace,
  { disk, asIs }: Wishes,
  signal: AbortSignal,
): Promise<DiskRestorePlan | undefined> {
  if (asIs) return undefined
  await using image = await repository.openImage(snapshot.id, { signal })
  const { kind, logicalSectorBytes = 512 } = snapshot.volumes[0]?.source ?? {}
  const source = imageSource(image, { label: snapshot.name, logicalSectorBytes })
  // The table of an image file may be that of a disk with other sectors.
  const sectors = kind === 'block-device' ? { sectorBytes: logicalSectorBytes } : {}
  return await planDiskRestore(source, place, { ...disk, ...sectors, label: snapshot.id, signal })
}

async function restoreAsPlanned(
  repository: Repository,
  snapshot: Snapshot,
  target: BlockTarget,
  plan: DiskRestorePlan | undefined,
  options: RestoreOptions,
): Promise<RestoreStats> {
  if (plan === undefined) return await repository.restore(snapshot.id, target, options)
  if (target.sequential)
    return await repository.restore(snapshot.id, target, { ...options, range: plan.range })
  const stats = await restoreDisk(plan, target, (disk, part) =>
    repository.restore(snapshot.id, disk, { ...options, ...part }),
  )
  // What was left out is what was written last.
  const last = plan.except.reduce((sum, { length }) => sum + length, 0)
  return { ...stats, bytesWritten: stats.bytesWritten + last, bytesLeft: stats.bytesLeft - last }
}

async function dryRun(
  { io, report }: Call,
  repository: Repository,
  snapshot: Snapshot,
  targetPath: string,
  wishes: Wishes,
): Promise<ExitCode> {
  const target = await inspectTarget(targetPath)
  const plan = await planOf(repository, snapshot, target, { ...wishes, asIs: false }, io.signal)
  const what = `snapshot ${shortId(snapshot.id)} of ${snapshot.name}`
  report.result(
    { dryRun: true, snapshot: snapshot.id, target, plan: planRecord(plan!) },
    planText(what, target, plan!),
  )
  return ExitCode.done
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
