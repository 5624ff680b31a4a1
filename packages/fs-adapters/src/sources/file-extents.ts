import type { Extent } from '@platter/core'
import { systemCodeOf } from '@platter/core'
import type { LinuxCalls } from '../system/linux-calls.ts'

/** Longest time in ms spent on seeking before other work gets its turn. */
const SLICE_MS = 10

/**
 * Data and holes of an open file up to `sizeBytes`, as the file system tells them. What a file system that does
 * not know holes says is one extent of data.
 *
 * The calls are synchronous: each takes some microseconds, a hop to another thread a hundred times that.
 */
export async function* fileExtents(
  fd: number,
  sizeBytes: number,
  calls: LinuxCalls | undefined,
): AsyncGenerator<Extent, void, undefined> {
  let at = 0
  let sliceEnd = performance.now() + SLICE_MS
  while (at < sizeBytes) {
    if (performance.now() > sliceEnd) {
      await new Promise((resolve) => setImmediate(resolve))
      sliceEnd = performance.now() + SLICE_MS
    }
    const next = calls && nextData(fd, at, sizeBytes, calls)
    if (calls === undefined || next === undefined) {
      yield { offset: at, length: sizeBytes - at, kind: 'data' }
      return
    }
    if (next.start > at) yield { offset: at, length: next.start - at, kind: 'hole' }
    if (next.end > next.start) yield { offset: next.start, length: next.end - next.start, kind: 'data' }
    at = next.end
  }
}

interface Range {
  readonly start: number
  readonly end: number
}

/** The next run of data, empty at the end; undefined when the file system cannot tell. */
function nextData(fd: number, at: number, sizeBytes: number, calls: LinuxCalls): Range | undefined {
  try {
    const start = Math.min(calls.seekData(fd, at) ?? sizeBytes, sizeBytes)
    if (start === sizeBytes) return { start, end: sizeBytes }
    const end = Math.min(calls.seekHole(fd, start), sizeBytes)
    // A writer may punch a hole between the two calls; then there is no run, and reading tells what is there.
    return end > start ? { start, end } : undefined
  } catch (error) {
    if (UNSUPPORTED.has(systemCodeOf(error) ?? '')) return undefined
    throw error
  }
}

const UNSUPPORTED: ReadonlySet<string> = new Set([
  'EINVAL',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOTTY',
  'ESPIPE',
  'ENXIO',
])
