import type { Snapshot } from './snapshot-types.ts'

/**
 * Which snapshots to keep. Each group of snapshots, those of one name and one host, is looked at for itself; a
 * snapshot stays when at least one rule keeps it. A count of 0 is the same as leaving the rule out.
 *
 * The calendar rules go from the newest snapshot back and keep the newest of each hour, day, ISO week, month or
 * year that has one, until so many periods are covered. Periods without a snapshot do not count.
 */
export interface RetentionPolicy {
  /** The newest so many. */
  readonly keepLast?: number
  /** The newest of each of the last so many hours that have a snapshot. */
  readonly keepHourly?: number
  readonly keepDaily?: number
  /** Weeks are those of ISO 8601: they begin on Monday. */
  readonly keepWeekly?: number
  readonly keepMonthly?: number
  readonly keepYearly?: number
  /**
   * All that are at most this much older than the newest of their group: numbers with the units y, m (months), w, d
   * and h, in this order, such as '30d' or '1y6m'. Counted from the newest snapshot and not from today, so that a
   * machine that is no longer backed up does not lose its history. Years to days are those of the calendar.
   */
  readonly keepWithin?: string
  /** All that have at least one of these tags. */
  readonly keepTags?: readonly string[]
}

/** Options of {@link planRetention}. */
export interface RetentionOptions {
  /** IANA name of the time zone in which hours to years begin and end, such as 'Europe/Berlin'. Default: the system's. */
  readonly timeZone?: string
  /** What time it is, to tell which snapshots are dated in the future. Default: the system's clock. */
  readonly now?: Date
}

/** What a retention policy looks at. */
export type RetentionSubject = Pick<Snapshot, 'id' | 'name' | 'host' | 'time' | 'tags'>

/** Why a snapshot stays. */
export interface RetentionReason {
  /**
   * The rule that keeps it. Two are no rules of a policy: `newest`, since the newest snapshot of a group always
   * stays, and `future`, for one whose time has not come yet.
   */
  readonly rule:
    | 'last'
    | 'hourly'
    | 'daily'
    | 'weekly'
    | 'monthly'
    | 'yearly'
    | 'within'
    | 'tag'
    | 'newest'
    | 'future'
  /**
   * For `last` its place counted from 1, for the calendar rules the period (`2026-11-22T15+01:00`, `2026-11-22`,
   * `2026-W47`, `2026-11`, `2026`), for `within` the duration, for `tag` the tag.
   */
  readonly detail?: string
}

/** What is to become of one snapshot. */
export interface RetentionDecision<Subject extends RetentionSubject = Snapshot> {
  readonly snapshot: Subject
  readonly keep: boolean
  /** Everything that keeps it; empty when nothing does. */
  readonly reasons: readonly RetentionReason[]
}
