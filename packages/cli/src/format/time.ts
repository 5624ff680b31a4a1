/**
 * An ISO 8601 time as the clock of this machine shows it, or one in the IANA time zone given:
 * `2026-11-22 15:31:07`.
 */
export function formatTime(iso: string, timeZone?: string): string {
  const time = new Date(iso)
  if (Number.isNaN(time.getTime())) return iso
  // Swedish writes times in this way.
  if (timeZone !== undefined)
    return new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' }).format(
      time,
    )
  const two = (part: number): string => part.toString().padStart(2, '0')
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-')
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':')
  return `${date} ${clock}`
}
