import { PlatterError } from '@platter/core'
import type { RetentionPolicy, RetentionReason } from '../api/retention-types.ts'
import { type CalendarDuration, parseDuration } from './retention-duration.ts'
import type { Period } from './zoned-calendar.ts'

/** One of the rules that keep the newest of each period. */
export interface CalendarRule {
  readonly rule: RetentionReason['rule']
  readonly period: Period
  readonly count: number
}

/** A policy, read and checked. */
export interface CheckedPolicy {
  readonly last: number
  readonly calendar: readonly CalendarRule[]
  readonly within: { readonly text: string; readonly duration: CalendarDuration } | undefined
  readonly tags: ReadonlySet<string>
}

const COUNTS = ['keepLast', 'keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const
const FIELDS: ReadonlySet<string> = new Set([...COUNTS, 'keepWithin', 'keepTags'])

/**
 * Checks a policy. One that has no rule, or rules that keep nothing, is refused: it would remove nearly everything,
 * and is more likely a slip.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function checkPolicy(policy: RetentionPolicy): CheckedPolicy {
  if (typeof policy !== 'object' || policy === null)
    throw invalid('A retention policy is an object of rules.')
  // A misspelt rule would be a rule left out, and cost snapshots.
  const unknown = Object.keys(policy).find((field) => !FIELDS.has(field))
  if (unknown !== undefined) throw invalid(`A retention policy has no rule '${unknown}'.`)
  const { keepWithin } = policy
  const within =
    keepWithin === undefined ? undefined : { text: keepWithin, duration: parseDuration(keepWithin) }
  const tags = tagsOf(policy)
  const last = countOf(policy, 'keepLast')
  const calendar: CalendarRule[] = [
    { rule: 'hourly', period: 'hour', count: countOf(policy, 'keepHourly') },
    { rule: 'daily', period: 'day', count: countOf(policy, 'keepDaily') },
    { rule: 'weekly', period: 'week', count: countOf(policy, 'keepWeekly') },
    { rule: 'monthly', period: 'month', count: countOf(policy, 'keepMonthly') },
    { rule: 'yearly', period: 'year', count: countOf(policy, 'keepYearly') },
  ]
  const active = calendar.filter(({ count }) => count > 0)
  if (last === 0 && active.length === 0 && tags.size === 0 && within === undefined)
    throw invalid('A retention policy must have a rule that keeps something; this one would keep nothing.')
  return { last, calendar: active, within, tags }
}

function countOf(policy: RetentionPolicy, field: (typeof COUNTS)[number]): number {
  const count = policy[field] ?? 0
  if (!Number.isSafeInteger(count) || count < 0)
    throw invalid(`${field} must be a whole number from 0, not ${String(count)}.`)
  return count
}

function tagsOf({ keepTags = [] }: RetentionPolicy): Set<string> {
  if (!Array.isArray(keepTags) || keepTags.some((tag) => typeof tag !== 'string' || tag === ''))
    throw invalid('keepTags must be a list of tags, none of them empty.')
  return new Set(keepTags)
}

function invalid(message: string): PlatterError {
  return new PlatterError('ERR_INVALID_ARGUMENT', message)
}
