import { PlatterError } from '@platter/core'
import type {
  RetentionDecision,
  RetentionOptions,
  RetentionPolicy,
  RetentionReason,
  RetentionSubject,
} from '../api/retention-types.ts'
import { type CheckedPolicy, checkPolicy } from './check-policy.ts'
import { ZonedCalendar } from './zoned-calendar.ts'

/** A snapshot, its time in milliseconds since 1970, and what keeps it so far. */
interface Candidate<Subject> {
  readonly snapshot: Subject
  readonly millis: number
  readonly reasons: RetentionReason[]
}

/**
 * Says which snapshots a policy keeps and why, and which it does not. A pure function: it looks at nothing but its
 * arguments, and the order in which the snapshots come does not matter.
 *
 * Three things hold for every policy. The newest snapshot of each group stays. A snapshot dated later than `now`
 * stays and is counted by no rule, so that one made with a wrong clock does not take the place of others. What is
 * kept once is kept when the policy is applied again to what was left.
 *
 * A wrong clock that shows a time in the past cannot be told from a right one: such a snapshot counts at its date.
 *
 * @returns a decision for every snapshot, by name, then host, then time.
 * @throws ERR_INVALID_ARGUMENT for a policy that is empty, keeps nothing or has an impossible value, for an unknown
 * time zone, an invalid date, and for two snapshots of the same id.
 *
 * @example
 * const decisions = planRetention(snapshots, { keepDaily: 7, keepMonthly: 12 }, { timeZone: 'Europe/Berlin' })
 * const superfluous = decisions.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.id)
 */
export function planRetention<Subject extends RetentionSubject>(
  snapshots: Iterable<Subject>,
  policy: RetentionPolicy,
  options: RetentionOptions = {},
): RetentionDecision<Subject>[] {
  const rules = checkPolicy(policy)
  const calendar = new ZonedCalendar(options.timeZone)
  const now = (options.now ?? new Date()).getTime()
  if (Number.isNaN(now)) throw invalid('The date given as now is none.')

  const decisions: RetentionDecision<Subject>[] = []
  for (const group of groupsOf(snapshots)) {
    for (const { snapshot, millis, reasons } of group) {
      if (millis > now) reasons.push({ rule: 'future' })
      const tag = snapshot.tags.find((tag) => rules.tags.has(tag))
      if (tag !== undefined) reasons.push({ rule: 'tag', detail: tag })
    }
    applyRules(group.filter(({ millis }) => millis <= now).reverse(), rules, calendar)
    for (const { snapshot, reasons } of group) decisions.push({ snapshot, keep: reasons.length > 0, reasons })
  }
  return decisions
}

/** Adds what keeps the snapshots of a group, which come newest first. */
function applyRules<Subject>(
  newestFirst: readonly Candidate<Subject>[],
  { last, calendar: calendarRules, within }: CheckedPolicy,
  calendar: ZonedCalendar,
): void {
  const newest = newestFirst[0]
  if (newest === undefined) return
  newestFirst.slice(0, last).forEach(({ reasons }, place) => {
    reasons.push({ rule: 'last', detail: String(place + 1) })
  })
  for (const { rule, period, count } of calendarRules) {
    // A set, as a day can be interrupted: clocks put back at midnight return to the day before.
    const covered = new Set<string>()
    for (const { millis, reasons } of newestFirst) {
      if (covered.size === count) break
      const name = calendar.periodOf(period, millis)
      if (covered.has(name)) continue
      covered.add(name)
      reasons.push({ rule, detail: name })
    }
  }
  if (within !== undefined) {
    const from = calendar.before(newest.millis, within.duration)
    for (const { millis, reasons } of newestFirst)
      if (millis >= from) reasons.push({ rule: 'within', detail: within.text })
  }
  if (newest.reasons.length === 0) newest.reasons.push({ rule: 'newest' })
}

/** Snapshots of one name and host together, oldest first, by name and host. */
function groupsOf<Subject extends RetentionSubject>(snapshots: Iterable<Subject>): Candidate<Subject>[][] {
  const groups = new Map<string, Candidate<Subject>[]>()
  const ids = new Set<string>()
  for (const snapshot of snapshots) {
    const millis = Date.parse(snapshot.time)
    if (Number.isNaN(millis)) throw invalid(`The snapshot ${snapshot.id} has no valid time.`)
    if (ids.has(snapshot.id)) throw invalid(`The snapshot ${snapshot.id} was given twice.`)
    ids.add(snapshot.id)
    const key = JSON.stringify([snapshot.name, snapshot.host])
    const group = groups.get(key)
    const candidate = { snapshot, millis, reasons: [] }
    if (group === undefined) groups.set(key, [candidate])
    else group.push(candidate)
  }
  const sorted = [...groups.values()].sort(([a], [b]) => byGroup(a!.snapshot, b!.snapshot))
  return sorted.map((group) =>
    group.sort((a, b) => a.millis - b.millis || compare(a.snapshot.id, b.snapshot.id)),
  )
}

function byGroup(a: RetentionSubject, b: RetentionSubject): number {
  return compare(a.name, b.name) || compare(a.host, b.host)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

function invalid(message: string): PlatterError {
  return new PlatterError('ERR_INVALID_ARGUMENT', message)
}
