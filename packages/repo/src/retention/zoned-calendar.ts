import { PlatterError } from '@platter/core'
import type { CalendarDuration } from './retention-duration.ts'

const HOUR_MILLIS = 3_600_000
const DAY_MILLIS = 24 * HOUR_MILLIS
/** The last moment a `Date` can hold, and, negative, the first. */
const LAST_MILLIS = 8.64e15

/** A period of the calendar. */
export type Period = 'hour' | 'day' | 'week' | 'month' | 'year'

/**
 * The calendar of one time zone. Local times are held as the milliseconds that UTC would have when its clocks show
 * the same, so that the UTC methods of `Date` take them apart.
 */
export class ZonedCalendar {
  readonly #format: Intl.DateTimeFormat

  /**
   * @param timeZone IANA name; the system's when left out.
   * @throws ERR_INVALID_ARGUMENT when there is no such time zone.
   */
  constructor(timeZone?: string) {
    try {
      this.#format = new Intl.DateTimeFormat('en-US', {
        calendar: 'gregory',
        numberingSystem: 'latn',
        timeZoneName: 'longOffset',
        ...(timeZone === undefined ? {} : { timeZone }),
      })
    } catch (cause) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        `There is no time zone '${timeZone}'. Give an IANA name such as Europe/Berlin or UTC.`,
        { cause },
      )
    }
  }

  /**
   * Names the period in which a moment lies; two moments are in the same one exactly when the names are equal. An
   * hour is named with its offset from UTC, as there are two of the same name when clocks are put back.
   */
  periodOf(period: Period, millis: number): string {
    const offsetMillis = this.#offsetMillis(millis)
    const local = localDate(millis + offsetMillis)
    if (period === 'week') return weekName(local)
    const iso = local.toISOString()
    // From the end, since the first and the last years have more than four digits.
    if (period === 'year') return iso.slice(0, -20)
    if (period === 'month') return iso.slice(0, -17)
    if (period === 'day') return iso.slice(0, -14)
    return `${iso.slice(0, -11)}${offsetName(offsetMillis)}`
  }

  /**
   * The moment that lies a duration before another: months back, to the last day of a month that is shorter, then
   * days, to the same time of the day, then hours as they pass. A time of the day that comes twice is the first of
   * the two; one that the clocks skip lies as far before the change as it would lie after it. Negative infinity
   * where the calendar ends.
   */
  before(millis: number, { months, days, hours }: CalendarDuration): number {
    const local = localDate(millis + this.#offsetMillis(millis))
    const dayOfMonth = local.getUTCDate()
    local.setUTCDate(1)
    local.setUTCMonth(local.getUTCMonth() - months)
    const lastDay = new Date(local)
    lastDay.setUTCMonth(lastDay.getUTCMonth() + 1, 0)
    local.setUTCDate(Math.min(dayOfMonth, lastDay.getUTCDate()) - days)
    const moment = this.#momentOf(local.getTime()) - hours * HOUR_MILLIS
    return Number.isNaN(moment) ? Number.NEGATIVE_INFINITY : moment
  }

  /** The first moment at which clocks show a local time. */
  #momentOf(local: number): number {
    if (!(Math.abs(local) <= LAST_MILLIS - DAY_MILLIS)) return Number.NaN
    const candidates = [local - DAY_MILLIS, local + DAY_MILLIS].map(
      (near) => local - this.#offsetMillis(near),
    )
    const exact = candidates.filter((moment) => moment + this.#offsetMillis(moment) === local)
    return Math.min(...(exact.length > 0 ? exact : candidates))
  }

  /** How far local clocks are ahead of UTC. */
  #offsetMillis(millis: number): number {
    const match = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(this.#format.format(millis))
    const [, sign, hours = '0', minutes = '0', seconds = '0'] = match ?? []
    const size = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
    return sign === '-' ? -size : size
  }
}

function localDate(local: number): Date {
  return new Date(Math.max(-LAST_MILLIS, Math.min(LAST_MILLIS, local)))
}

/** ISO 8601: a week belongs to the year that its Thursday is in. */
function weekName(local: Date): string {
  const day = Math.floor(local.getTime() / DAY_MILLIS)
  // Day 0 was a Thursday.
  const thursday = Math.floor((day + 3) / 7) * 7
  const date = localDate(thursday * DAY_MILLIS)
  const dayOfYear = thursday - Math.floor(new Date(date).setUTCMonth(0, 1) / DAY_MILLIS)
  return `${date.toISOString().slice(0, -20)}-W${two(Math.floor(dayOfYear / 7) + 1)}`
}

/** `+01:00`; with seconds where an offset of long ago has them. */
function offsetName(offsetMillis: number): string {
  const size = Math.abs(offsetMillis) / 1000
  const seconds = size % 60 === 0 ? '' : `:${two(size % 60)}`
  return `${offsetMillis < 0 ? '-' : '+'}${two(Math.floor(size / 3600))}:${two(Math.floor(size / 60) % 60)}${seconds}`
}

function two(part: number): string {
  return String(part).padStart(2, '0')
}
