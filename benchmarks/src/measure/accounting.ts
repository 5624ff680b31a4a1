import type { ChildProcess } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from './command.ts'
import { watchProcess } from './proc-watch.ts'
import { findTool, runTool } from './tool.ts'

/** What the kernel charged a program for, as far as it can be known. */
export interface Usage {
  readonly cpuSeconds?: number
  readonly peakBytes?: number
}

/** One program about to run under account. */
export interface Accounting {
  readonly program: string
  readonly args: readonly string[]
  watch(child: ChildProcess): void
  finish(): Promise<Usage>
}

/** Runs a program under GNU time where it is installed, else watches it through /proc. */
export async function startAccounting(command: Command): Promise<Accounting> {
  gnuTime ??= findGnuTime()
  const time = await gnuTime
  return time === undefined ? watching(command) : timing(time, command)
}

let gnuTime: Promise<string | undefined> | undefined

async function findGnuTime(): Promise<string | undefined> {
  const path = await findTool('time')
  if (path === undefined) return undefined
  const { code, stderr } = await runTool(path, ['-f', '%U %S %M', 'true'])
  return code === 0 && /^[\d.]+ [\d.]+ \d+$/.test(stderr.trim()) ? path : undefined
}

function timing(time: string, command: Command): Accounting {
  const output = join(tmpdir(), `platter-time-${process.pid}`)
  return {
    program: time,
    args: ['-q', '-f', '%U %S %M', '-o', output, command.program, ...command.args],
    watch: () => {},
    finish: async () => {
      const text = await readFile(output, 'utf8')
      await rm(output)
      const [user, system, peakKib] = text.trim().split(' ').map(Number)
      return { cpuSeconds: user! + system!, peakBytes: peakKib! * 1024 }
    },
  }
}

function watching(command: Command): Accounting {
  let usage: () => Usage = () => ({})
  return {
    program: command.program,
    args: command.args,
    watch: (child) => {
      if (child.pid !== undefined) usage = watchProcess(child.pid)
    },
    finish: async () => usage(),
  }
}
