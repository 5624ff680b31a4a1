import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { type FileHandle, open } from 'node:fs/promises'
import { startAccounting } from './accounting.ts'
import { type Command, CommandError } from './command.ts'

/** What one run of a program cost. */
export interface Measurement {
  readonly wallSeconds: number
  /** Processor time of the program, user and system; absent where it cannot be known. */
  readonly cpuSeconds?: number
  /** Largest resident size of the program; absent where it cannot be known. */
  readonly peakBytes?: number
  /** What the program told about its work, when it prints JSON. */
  readonly details?: Readonly<Record<string, unknown>>
}

export interface MeasureOptions {
  readonly timeoutSeconds?: number
  readonly signal?: AbortSignal
}

/**
 * Runs a program as a child process and measures the whole of it, start-up included.
 *
 * @throws {CommandError} when it fails or takes longer than allowed
 */
export async function measure(command: Command, options: MeasureOptions = {}): Promise<Measurement> {
  options.signal?.throwIfAborted()
  const stdin = command.stdin === undefined ? undefined : await open(command.stdin)
  const stdout = command.stdout?.to === 'file' ? await open(command.stdout.path, 'w') : undefined
  try {
    return await run(command, [stdin?.fd ?? 'ignore', stdoutOf(command, stdout), 'pipe'], options)
  } finally {
    await stdin?.close()
    await stdout?.close()
  }
}

function stdoutOf(command: Command, file: FileHandle | undefined): number | 'ignore' | 'pipe' {
  if (file !== undefined) return file.fd
  return command.stdout === undefined ? 'ignore' : 'pipe'
}

async function run(command: Command, stdio: StdioOptions, options: MeasureOptions): Promise<Measurement> {
  const accounting = await startAccounting(command)
  const started = performance.now()
  const child = spawn(accounting.program, accounting.args, {
    env: { ...process.env, ...command.env },
    stdio,
    // A group of its own, so that stopping it stops whatever it has started.
    detached: true,
  })
  const stopping = stopInTime(child, options)
  accounting.watch(child)
  const printed = collect(child.stdout)
  const complained = collect(child.stderr)
  try {
    const exit = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve(signal ?? code))
    })
    const wallSeconds = (performance.now() - started) / 1000
    const used = await accounting.finish()
    options.signal?.throwIfAborted()
    if (exit !== 0) throw new CommandError(command, `${stopping.reason() ?? `exit ${exit}`}. ${complained()}`)
    if (command.stdout?.to !== 'caller') return { wallSeconds, ...used }
    const details = JSON.parse(printed()) as Record<string, unknown>
    // The usage of the process would count what its own clock leaves out.
    if (command.ownClock === true) return { wallSeconds: Number(details.seconds), details }
    return { wallSeconds, ...used, details }
  } finally {
    stopping.clear()
  }
}

function stopInTime(child: ChildProcess, { signal, timeoutSeconds }: MeasureOptions) {
  let reason: string | undefined
  const stop = () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
  }
  const timer =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => {
          reason = `still running after ${timeoutSeconds} s`
          stop()
        }, timeoutSeconds * 1000)
  signal?.addEventListener('abort', stop)
  return {
    reason: () => reason,
    clear: () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
    },
  }
}

/** Keeps the end of what a program prints. */
function collect(stream: ChildProcess['stdout']): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-KEPT_CHARACTERS)
  })
  return () => text.trim()
}

const KEPT_CHARACTERS = 1 << 16
