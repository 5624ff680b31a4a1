import { PlatterError } from '@platter/core'
import {
  type ForgetPlan,
  type ForgetSelection,
  type PlannedSnapshot,
  planRetention,
  type RetentionOptions,
  type RetentionPolicy,
} from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import type { OptionTable } from '../command-line/option-spec.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes, formatCount, formatItems } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { shortId } from '../format/snapshot-text.ts'
import { columns } from '../format/table.ts'
import { formatTime } from '../format/time.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

/** Options that take a count, and the rules they stand for. */
const COUNT_RULES = {
  'keep-last': 'keepLast',
  'keep-hourly': 'keepHourly',
  'keep-daily': 'keepDaily',
  'keep-weekly': 'keepWeekly',
  'keep-monthly': 'keepMonthly',
  'keep-yearly': 'keepYearly',
} as const satisfies Record<string, keyof RetentionPolicy>

const KEEP_OPTIONS: OptionTable = {
  'keep-last': { kind: 'value', placeholder: 'N', help: 'Keep the newest N.' },
  'keep-hourly': { kind: 'value', placeholder: 'N', help: 'Keep the newest of each of the last N hours.' },
  'keep-daily': { kind: 'value', placeholder: 'N', help: 'The same by days,' },
  'keep-weekly': { kind: 'value', placeholder: 'N', help: 'by weeks, which begin on Monday,' },
  'keep-monthly': { kind: 'value', placeholder: 'N', help: 'by months,' },
  'keep-yearly': { kind: 'value', placeholder: 'N', help: 'and by years.' },
  'keep-within': {
    kind: 'value',
    placeholder: 'DURATION',
    help: 'Keep all at most this much older than the newest, such as 30d or 1y6m.',
  },
  'keep-tag': { kind: 'value', placeholder: 'TAG', repeatable: true, help: 'Keep all with this tag.' },
}

/** Options that mean something with a policy only. */
const SCOPE_OPTIONS: OptionTable = {
  name: { kind: 'value', placeholder: 'NAME', help: 'Apply the policy to snapshots of this image only.' },
  host: { kind: 'value', placeholder: 'HOST', help: 'Apply it to snapshots from this machine only.' },
  'time-zone': {
    kind: 'value',
    placeholder: 'ZONE',
    help: "When hours to years begin, such as Europe/Berlin; default: this machine's.",
  },
}

export const forget: Command = {
  name: 'forget',
  summary: 'Take snapshots off the list, by name or by a retention policy.',
  operands: ['REPO', '[SNAPSHOT...]'],
  options: {
    ...KEEP_OPTIONS,
    ...KEY_OPTIONS,
    ...SCOPE_OPTIONS,
    'dry-run': { kind: 'flag', help: 'Only show what would be forgotten, and what that would free.' },
  },
  notes:
    'Forgets the snapshots that are named, or those that no --keep option keeps. Images\n' +
    'of one name from one machine are looked at together; the newest always stays, and\n' +
    'so does what is dated in the future. Hours, days and so on without a snapshot do\n' +
    'not count. The space that only forgotten snapshots needed is freed by platter prune.',
  whenInterrupted: 'What was forgotten until then stays forgotten. Run it again for the rest.',

  async run(call: Call): Promise<ExitCode> {
    const { options, io, report } = call
    const [repositoryPath, ...references] = call.operands as [string, ...string[]]
    const selection = selectionOf(references, options)
    const dryRun = options.has('dry-run')
    await using repository = await openRepository(repositoryPath, call)
    const plan = await repository.planForget(selection, {
      // A snapshot whose data is damaged must be possible to forget by name, and its size cannot be told.
      sizes: dryRun || 'policy' in selection,
      signal: io.signal,
      onProgress: ({ done, total }) =>
        report.progress(
          { phase: 'reading trees', unit: 'steps', done, total, bytesMoved: 0, notes: [] },
          { command: 'forget', phase: 'trees', done, total },
        ),
    })
    const removed = plan.snapshots.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot)
    const ids = dryRun ? [] : await repository.applyForget(plan, { signal: io.signal })
    const forgotten = new Set<string>(ids)
    report.result(
      {
        dryRun,
        forgotten: removed
          .filter(({ id }) => forgotten.has(id))
          .map(({ id, name, host, time }) => ({ id, name, host, time })),
        bytesFreed: plan.bytesFreed,
        snapshots: plan.snapshots.map(({ snapshot: { id, name, host, time, tags }, ...decision }) => ({
          id,
          name,
          host,
          time,
          tags,
          ...decision,
        })),
      },
      textOf(plan, selection, dryRun),
      removed.map(({ id }) => id).join('\n'),
    )
    return ExitCode.done
  },
}

/** @throws UsageError when the command line says neither what to forget nor what to keep, or both. */
function selectionOf(snapshots: readonly string[], options: OptionValues): ForgetSelection {
  const rules = Object.keys(KEEP_OPTIONS).filter((name) => options.has(name))
  const scope = Object.keys(SCOPE_OPTIONS).filter((name) => options.has(name))
  if (snapshots.length > 0) {
    const [other] = [...rules, ...scope]
    if (other === undefined) return { snapshots }
    throw new UsageError(`--${other} cannot be used with snapshots that are named.`)
  }
  if (rules.length === 0) {
    throw new UsageError(
      'Neither a snapshot to forget nor a --keep option was given.',
      'platter forget --help lists the options.',
    )
  }
  const policy = policyOf(options)
  const [name, host, timeZone] = ['name', 'host', 'time-zone'].map((option) => options.text(option))
  const zone = timeZone === undefined ? {} : { timeZone }
  assertPolicy(policy, zone)
  return {
    policy,
    ...zone,
    ...(name === undefined ? {} : { name }),
    ...(host === undefined ? {} : { host }),
  }
}

function policyOf(options: OptionValues): RetentionPolicy {
  const counts = Object.entries(COUNT_RULES)
    .filter(([option]) => options.has(option))
    .map(([option, rule]) => [rule, countOf(option, options.text(option)!)])
  const within = options.text('keep-within')
  return {
    ...(Object.fromEntries(counts) as Pick<RetentionPolicy, 'keepLast'>),
    ...(within === undefined ? {} : { keepWithin: within }),
    ...(options.has('keep-tag') ? { keepTags: options.texts('keep-tag') } : {}),
  }
}

/** What is wrong with a policy is wrong with the command line, and told before a repository is opened. */
function assertPolicy(policy: RetentionPolicy, zone: RetentionOptions): void {
  try {
    planRetention([], policy, zone)
  } catch (error) {
    if (PlatterError.is(error, 'ERR_INVALID_ARGUMENT')) throw new UsageError(error.message)
    throw error
  }
}

function countOf(option: string, text: string): number {
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw new UsageError(`--${option} takes a whole number, not '${text}'.`)
  return Number(text)
}

function textOf(plan: ForgetPlan, selection: ForgetSelection, dryRun: boolean): string {
  const byPolicy = 'policy' in selection
  if (plan.snapshots.length === 0) return 'No snapshot fits.'
  const timeZone = byPolicy ? selection.timeZone : undefined
  const rows = plan.snapshots.map((planned) => {
    const { id, time, host, name, tags } = planned.snapshot
    const freed = planned.bytesFreed === undefined ? [] : [formatBytes(planned.bytesFreed)]
    return [
      planned.keep ? 'keep' : 'remove',
      shortId(id),
      formatTime(time, timeZone),
      ...freed,
      printable(host),
      printable(name),
      printable(tags.join(', ')),
      ...(byPolicy ? [reasonText(planned)] : []),
    ]
  })
  const sized = plan.bytesFreed !== undefined
  const heads = ['PLAN', 'ID', 'TIME', ...(sized ? ['FREES'] : []), 'HOST', 'NAME', 'TAGS']
  const table = columns([[...heads, ...(byPolicy ? ['REASON'] : [])], ...rows], sized ? [3] : [])
  return `${table}\n${summaryOf(plan, dryRun)}`
}

function reasonText({ keep, reasons }: PlannedSnapshot): string {
  if (!keep) return 'no rule keeps it'
  return reasons
    .map(({ rule, detail }) => (detail === undefined ? rule : `${rule} ${printable(detail)}`))
    .join(', ')
}

function summaryOf({ snapshots, bytesFreed }: ForgetPlan, dryRun: boolean): string {
  const removed = snapshots.filter(({ keep }) => !keep).length
  const kept = snapshots.length - removed
  const forgot = `${dryRun ? 'Would forget' : 'Forgot'} ${formatItems(removed, 'snapshot')}`
  const others = kept === 0 ? '' : ` and ${dryRun ? 'keep' : 'kept'} ${formatCount(kept)}`
  const unchanged = dryRun ? '; nothing was changed' : ''
  const freed =
    bytesFreed === undefined || removed === 0
      ? ''
      : ` ${formatBytes(bytesFreed)} of data is needed by no other snapshot.`
  return `${forgot}${others}${unchanged}.${freed}`
}
