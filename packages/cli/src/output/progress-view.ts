import { formatBytes, formatClock, formatCount, formatShare } from '../format/amounts.ts'
import type { RateMeter } from './rate-meter.ts'

/** How far a command has come, in the form every command can be shown in. */
export interface ProgressView {
  /** What is being done, such as `reading`. */
  readonly phase: string
  readonly unit: 'bytes' | 'steps'
  readonly done: number
  /** Undefined while the end is not known. */
  readonly total: number | undefined
  /** Bytes read or written so far, for the speed. */
  readonly bytesMoved: number
  /** What else is worth a look, most important first. */
  readonly notes: readonly string[]
}

/** The parts of a progress line, most important first. */
export function progressParts(view: ProgressView, meter: RateMeter): string[] {
  const amount = view.unit === 'bytes' ? formatBytes : formatCount
  const parts = [view.phase]
  if (view.total === undefined) parts.push(amount(view.done))
  else parts.push(formatShare(view.done, view.total), `${amount(view.done)} of ${amount(view.total)}`)

  const speed = meter.movedPerSecond()
  if (speed !== undefined && speed > 0) parts.push(`${formatBytes(speed)}/s`)
  const left = view.total === undefined ? undefined : meter.secondsLeft(view.total)
  if (left !== undefined && left > 0) parts.push(`${formatClock(left)} left`)
  return [...parts, ...view.notes]
}

/** As many of `parts` as fit into `width` characters, the first ones before the last. */
export function fitParts(parts: readonly string[], width: number): string {
  let line = ''
  for (const part of parts) {
    const longer = line === '' ? part : `${line}  ${part}`
    if (longer.length > width) break
    line = longer
  }
  return line === '' ? (parts[0] ?? '').slice(0, Math.max(0, width)) : line
}
