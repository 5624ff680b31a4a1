import { readFileSync } from 'node:fs'
import type { Usage } from './accounting.ts'

const INTERVAL_MS = 20

/** The clock of /proc/PID/stat has ticked a hundred times a second on Linux for all its life. */
const TICKS_PER_SECOND = 100

/** Looks at a process again and again until the returned function is called, which tells the last state. */
export function watchProcess(pid: number): () => Usage {
  let usage: Usage = {}
  const timer = setInterval(() => {
    usage = readUsage(pid) ?? usage
  }, INTERVAL_MS)
  return () => {
    clearInterval(timer)
    return usage
  }
}

function readUsage(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const peakKib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]
    // The name in parentheses may hold spaces: count fields after it. Fields 14 and 15 are user and system time.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const cpuSeconds = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
    return peakKib === undefined ? undefined : { cpuSeconds, peakBytes: Number(peakKib) * 1024 }
  } catch {
    // It has ended, or this system has no /proc.
    return undefined
  }
}
