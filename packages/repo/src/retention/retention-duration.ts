import { PlatterError } from '@platter/core'

/** A stretch of the calendar. */
export interface CalendarDuration {
  readonly months: number
  readonly days: number
  readonly hours: number
}

const FORM = /^(?:(\d{1,5})y)?(?:(\d{1,5})m)?(?:(\d{1,5})w)?(?:(\d{1,5})d)?(?:(\d{1,5})h)?$/

/**
 * Reads a duration such as '30d', '1y6m' or '2w12h'.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function parseDuration(text: unknown): CalendarDuration {
  const match = typeof text === 'string' ? FORM.exec(text) : null
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0] = (match ?? [])
    .slice(1)
    .map((digits) => Number(digits ?? 0))
  const duration = { months: years * 12 + months, days: weeks * 7 + days, hours }
  if (duration.months + duration.days + duration.hours === 0) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `A duration is written as 30d, 1y6m or 2w12h: numbers of up to five digits with the units y, m (months), w, d and h, in this order, and not all 0. '${String(text)}' is not.`,
    )
  }
  return duration
}
