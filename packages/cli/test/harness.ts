import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CommandIo, main, type TextOutput } from '@platter/cli'

const BIN = fileURLToPath(new URL('../dist/bin.js', import.meta.url))

/** Collects what a command writes. */
export class CollectedText implements TextOutput {
  text = ''
  isTTY = false
  columns: number | undefined = undefined
  broken = false

  write(text: string): void {
    this.text += text
  }
}

/** How a command ended. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** What `call` lets a test choose. */
export interface CallOptions {
  readonly tty?: { readonly columns: number }
  readonly env?: Record<string, string>
  readonly signal?: AbortSignal
  readonly stdinIsTTY?: boolean
  readonly askSecret?: (question: string) => Promise<string>
}

/** Runs a command line in this process and without worker threads: quick, and all can be injected. */
export async function call(argv: readonly string[], options: CallOptions = {}): Promise<Outcome> {
  const stdout = new CollectedText()
  const stderr = new CollectedText()
  if (options.tty !== undefined) {
    for (const output of [stdout, stderr]) {
      output.isTTY = true
      output.columns = options.tty.columns
    }
  }
  const io: CommandIo = {
    stdin: { isTTY: options.stdinIsTTY ?? false },
    ...(options.askSecret === undefined ? {} : { askSecret: options.askSecret }),
    stdout,
    stderr,
    signal: options.signal ?? new AbortController().signal,
    env: options.env ?? {},
    now: () => performance.now(),
    // Else a test of keys would spend its time on them. A process of its own takes what users take.
    kdf: { N: 2 ** 14, r: 8, p: 1 },
  }
  const inProcess = argv.some((word) => word.startsWith('--workers')) ? [] : ['--workers', '0']
  const code = await main([...inProcess, ...argv], io)
  return { code, stdout: stdout.text, stderr: stderr.text }
}

/** Runs a command line that must succeed, and gives the object it answers. */
export async function answer<T = Record<string, unknown>>(argv: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await call([...argv, '--json'])
  if (code !== 0) throw new Error(`platter ${argv.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** A `platter` process under way. */
export interface Running {
  readonly pid: number
  readonly stdin: NodeJS.WritableStream
  readonly stdout: NodeJS.ReadableStream
  kill(signal: NodeJS.Signals): void
  /** Resolves when stderr holds `text`. */
  says(text: string): Promise<void>
  /** Resolves when it has ended; `stdout` as raw bytes. */
  readonly ended: Promise<{
    code: number | null
    signal: NodeJS.Signals | null
    stdout: Buffer
    stderr: string
  }>
}

/** Starts the real command in a process of its own. */
export function start(argv: readonly string[], options: { readonly uid?: number } = {}): Running {
  // The test runner puts hooks into each child it sees. They take a second to start, and write where another user
  // may not; `env` takes them out again and then becomes the command.
  const command = ['-u', 'NODE_OPTIONS', process.execPath, BIN, ...argv]
  const child = spawn('env', command, { stdio: 'pipe', ...options })
  const out: Buffer[] = []
  let stderr = ''
  const waiting: { text: string; resolve: () => void }[] = []
  child.stdout.on('data', (piece: Buffer) => out.push(piece))
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    stderr += piece
    for (const { text, resolve } of waiting) if (stderr.includes(text)) resolve()
  })
  // A command that has enough, or was killed, closes its input early.
  child.stdin.on('error', () => {})
  return {
    pid: child.pid!,
    stdin: child.stdin,
    stdout: child.stdout,
    kill: (signal) => void child.kill(signal),
    says: (text) =>
      new Promise((resolve) => {
        if (stderr.includes(text)) resolve()
        else waiting.push({ text, resolve })
      }),
    ended: new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(out), stderr }))
    }),
  }
}

/** Runs the real command to its end. */
export async function platter(
  argv: readonly string[],
  stdin?: Uint8Array,
): Promise<Outcome & { readonly bytes: Buffer }> {
  const child = start(argv)
  child.stdin.end(stdin ?? '')
  const { code, stdout, stderr } = await child.ended
  return { code, stdout: stdout.toString('utf8'), stderr, bytes: stdout }
}

/** Bytes that do not compress and are the same for the same seed. */
export function noise(length: number, seed: string): Buffer {
  return createHash('shake256', { outputLength: length }).update(seed).digest()
}

/** Writes a sparse image: pieces of content with holes between them. */
export async function writeImage(
  path: string,
  sizeBytes: number,
  pieces: readonly [number, Uint8Array][],
): Promise<Buffer> {
  const file = await open(path, 'w+')
  try {
    await file.truncate(sizeBytes)
    for (const [offset, bytes] of pieces) await file.write(bytes, 0, bytes.length, offset)
  } finally {
    await file.close()
  }
  return await readFile(path)
}

/** The only error line in JSON on stderr. */
export function errorOf({ stderr }: { readonly stderr: string }): {
  code: string
  message: string
  hint?: string
} {
  const lines = stderr.split('\n').filter((line) => line.startsWith('{"error"'))
  if (lines.length !== 1) throw new Error(`One error was expected: ${stderr}`)
  return (JSON.parse(lines[0]!) as { error: { code: string; message: string; hint?: string } }).error
}

/** Paths of all files in a folder and below it. */
export async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}
