import { stat } from 'node:fs/promises'
import { openDisk } from '@platter/fs-adapters'
import type {
  DamagedPack,
  RepairIndexReport,
  RepairPacksReport,
  RepairProgress,
  Repository,
} from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatDuration, formatItems } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { rangeText, shortId } from '../format/snapshot-text.ts'
import type { ProgressView } from '../output/progress-view.ts'
import { FROM_KEY_OPTIONS, KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository, openSecondRepository } from '../repository/open-repository.ts'
import { assertSourceOutside } from '../repository/placement.ts'

export const repair: Command = {
  name: 'repair',
  summary: 'Mend a damaged repository: its index, or its packs.',
  operands: ['WHAT', 'REPO'],
  options: {
    from: {
      kind: 'value',
      placeholder: 'SOURCE',
      help: 'Packs: look for lost data in this image, device or second repository.',
    },
    ...KEY_OPTIONS,
    ...FROM_KEY_OPTIONS,
    exact: { kind: 'flag', help: 'Packs: read all of --from, as backups with --exact do.' },
    'dry-run': { kind: 'flag', help: 'Say what would be done, and change nothing.' },
  },
  notes:
    'WHAT is index or packs. The index is made anew from the packs, as far as it is\n' +
    'damaged. Packs are read in full; what is intact in damaged ones is saved, and\n' +
    'snapshots that lack something in the end are marked. No damaged pack is removed,\n' +
    'and no snapshot altered. Exit code 3 says that something is left to mend.',
  whenInterrupted: 'The repository is no worse than before. Run the repair again.',

  async run(call: Call): Promise<ExitCode> {
    const [what, path] = call.operands as [string, string]
    if (what !== 'index' && what !== 'packs') {
      throw new UsageError(
        `'${what}' cannot be repaired.`,
        'Repair index or packs: platter repair packs REPO',
      )
    }
    if (what === 'index' && call.options.has('from')) {
      throw new UsageError('--from is for packs; the index is made from the packs alone.')
    }
    await using repository = await openRepository(path, call)
    return what === 'index' ? await repairIndex(repository, call) : await repairPacks(repository, path, call)
  },
}

async function repairIndex(repository: Repository, { options, io, report }: Call): Promise<ExitCode> {
  const result = await repository.repairIndex({
    dryRun: options.has('dry-run'),
    signal: io.signal,
    onProgress: (progress) => report.progress(viewOf(progress), { command: 'repair index', ...progress }),
  })
  report.result(result, indexText(result))
  const { packsMissing, packsUnlisted, packsDamaged, segmentsLeft } = result
  const left = packsMissing.length + packsUnlisted.length + packsDamaged.length + segmentsLeft.length
  return left > 0 || (result.dryRun && result.segmentsReplaced.length + result.packsListed > 0)
    ? ExitCode.findings
    : ExitCode.done
}

async function repairPacks(repository: Repository, path: string, call: Call): Promise<ExitCode> {
  const { options, io, report } = call
  await using from = await openFrom(options.text('from'), path, call)
  const result = await repository.repairPacks({
    ...options.workers(),
    ...(from.opened === undefined ? {} : { from: from.opened }),
    dryRun: options.has('dry-run'),
    signal: io.signal,
    onProgress: (progress) => report.progress(viewOf(progress), { command: 'repair packs', ...progress }),
  })
  report.result(result, packsText(result), result.damage.map(({ snapshot }) => snapshot).join('\n'))
  const { damage, unreadableSnapshots, segmentsLeft, packsDamaged, dryRun } = result
  const left = damage.length + unreadableSnapshots.length + segmentsLeft.length
  return left > 0 || (dryRun && packsDamaged.length > 0) ? ExitCode.findings : ExitCode.done
}

interface HealFrom extends AsyncDisposable {
  readonly opened: Repository | Awaited<ReturnType<typeof openDisk>> | undefined
}

/** Opens what `--from` names: a folder is a repository, everything else an image. */
async function openFrom(path: string | undefined, repository: string, call: Call): Promise<HealFrom> {
  if (path === undefined) return { opened: undefined, [Symbol.asyncDispose]: async () => {} }
  if (path === '-') throw new UsageError('--from needs a file, a device or a repository, not -.')
  await assertSourceOutside(path, repository)
  const facts = await stat(path).catch(() => undefined)
  const opened =
    facts?.isDirectory() === true ? await openSecondRepository(path, call) : await openImage(path, call)
  return { opened, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
}

/** As a backup reads it: what was cut off at the borders of free space is found again, and so are the tree's nodes. */
async function openImage(path: string, { options, io }: Call): ReturnType<typeof openDisk> {
  return await openDisk(path, { policy: options.has('exact') ? 'exact' : 'used', signal: io.signal })
}

const PHASES: Readonly<Record<RepairProgress['phase'], string>> = {
  index: 'reading the index',
  packs: 'reading directories',
  data: 'reading packs',
  salvage: 'saving blobs',
  trees: 'checking trees',
  heal: 'healing',
  commit: 'writing',
}

function viewOf({ phase, done, total, bytesRead }: RepairProgress): ProgressView {
  return { phase: PHASES[phase], unit: 'steps', done, total, bytesMoved: bytesRead, notes: [] }
}

function indexText(report: RepairIndexReport): string {
  const { dryRun, packs, packsListed, packsMissing, packsUnlisted, packsDamaged, segmentsLeft } = report
  const would = dryRun ? 'Would list' : 'Listed'
  return [
    ...packsMissing.map((object) => `Missing: ${printable(object)}; what only it held is lost.`),
    ...packsUnlisted.map((pack) => `Not listed, no directory: ${packText(pack)}`),
    ...packsDamaged.map((pack) => `Damaged, listed as before: ${packText(pack)}`),
    ...segmentsLeft.map((name) => `Left, since the store cannot remove it: ${printable(name)}`),
    `${would} ${formatItems(packsListed, 'pack')} of ${packs} anew in ${formatItems(report.segmentsWritten, 'index segment')}, ` +
      `in the place of ${formatItems(report.segmentsReplaced.length, 'damaged one')}, in ${formatDuration(report.seconds)}.`,
    ...(packsMissing.length + packsUnlisted.length + packsDamaged.length > 0
      ? ['platter repair packs REPO saves what damaged packs still hold.']
      : []),
  ].join('\n')
}

function packsText(report: RepairPacksReport): string {
  const { dryRun, packs, bytesRead, packsDamaged, blobsHealed, bytesHealed, damage, healed } = report
  const salvaged = packsDamaged.reduce((sum, { blobsSalvaged }) => sum + blobsSalvaged, 0)
  return [
    ...packsDamaged.map(
      (pack) =>
        `${packText(pack)}\n  ${formatItems(pack.blobs, 'blob')}: ${pack.blobsSalvaged} saved, ` +
        `${pack.blobsElsewhere} stored elsewhere too, ${pack.blobsLost} not intact`,
    ),
    ...report.unreadableSnapshots.map(({ message, code }) => `${printable(message)} (${code})`),
    ...damage.map(({ snapshot, name, ranges }) =>
      [
        `Snapshot ${shortId(snapshot)} of ${printable(name)} is damaged:`,
        ...ranges.map((range) => `  ${rangeText(range)}`),
      ].join('\n'),
    ),
    ...healed.map((id) => `Snapshot ${shortId(id)} is whole again.`),
    ...report.segmentsLeft.map((name) => `Left, since the store cannot remove it: ${printable(name)}`),
    `Read ${formatItems(packs, 'pack')} (${formatBytes(bytesRead)}); ${formatItems(packsDamaged.length, 'pack')} damaged. ` +
      `${dryRun ? 'Would save' : 'Saved'} ${formatItems(salvaged, 'blob')}, ` +
      `${dryRun ? 'would heal' : 'healed'} ${formatItems(blobsHealed, 'blob')} (${formatBytes(bytesHealed)}), in ${formatDuration(report.seconds)}.`,
    damage.length === 0
      ? 'Every snapshot that can be read is whole.'
      : `${formatItems(damage.length, 'snapshot')} lacking data. Platter restores the rest of them with restore --partial.`,
  ].join('\n')
}

function packText({ message }: DamagedPack): string {
  return printable(message)
}
