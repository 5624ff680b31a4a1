import { printable } from '../format/printable.ts'
import type { CommandIo, TextOutput } from '../io.ts'
import type { Failure } from './failure.ts'
import {
  JsonProgress,
  LiveProgress,
  NoProgress,
  PlainProgress,
  type ProgressDisplay,
} from './progress-display.ts'
import type { ProgressView } from './progress-view.ts'

/** Something a user should know that stops nothing. */
export interface Warning {
  readonly code: string
  readonly message: string
}

export interface ReportOptions {
  readonly json: boolean
  readonly quiet: boolean
  readonly progress: boolean
}

/**
 * Everything a command says. The result goes to stdout; progress, warnings and errors go to stderr. With `json`
 * the result is one object, and each line on stderr is an object with one key that says what it is: `progress`,
 * `warning`, `error`, or `result` where stdout carries an image.
 */
export class Report {
  readonly json: boolean
  readonly quiet: boolean
  readonly #io: CommandIo
  readonly #display: ProgressDisplay
  #stdoutTaken = false

  constructor(io: CommandIo, options: ReportOptions) {
    this.#io = io
    this.json = options.json
    this.quiet = options.quiet
    this.#display = displayFor(io, options)
  }

  /** From now on stdout belongs to an image: the result goes to stderr. */
  leaveStdout(): void {
    this.#stdoutTaken = true
  }

  /** Where a command writes a result that is too long to be held. */
  get output(): TextOutput {
    return this.#stdoutTaken ? this.#io.stderr : this.#io.stdout
  }

  /** What came of it: `record` for programs, `text` for people, `brief` for `--quiet` (nothing when left out). */
  result(record: object, text: string, brief = ''): void {
    this.#display.end()
    if (this.json) this.output.write(`${JSON.stringify(this.#stdoutTaken ? { result: record } : record)}\n`)
    else this.#lines(this.quiet ? brief : text)
  }

  progress(view: ProgressView, record: object): void {
    this.#display.update(view, record)
  }

  warning({ code, message }: Warning): void {
    const line = this.json
      ? JSON.stringify({ warning: { code, message } })
      : `platter: warning: ${printable(message)} (${code})`
    this.#display.aside(() => this.#io.stderr.write(`${line}\n`))
  }

  error({ code, message, hint, details, trace }: Failure): void {
    this.#display.end()
    if (this.json) {
      this.#io.stderr.write(`${JSON.stringify({ error: { code, message, hint, details } })}\n`)
    } else {
      this.#io.stderr.write(`platter: ${printable(message)} (${code})\n`)
      if (hint !== undefined) this.#io.stderr.write(`  ${printable(hint)}\n`)
    }
    if (trace !== undefined) this.#io.stderr.write(`${trace}\n`)
  }

  #lines(text: string): void {
    if (text !== '') this.output.write(text.endsWith('\n') ? text : `${text}\n`)
  }
}

function displayFor(io: CommandIo, options: ReportOptions): ProgressDisplay {
  if (!options.progress) return new NoProgress()
  if (options.json) return new JsonProgress(io.stderr, io.now)
  if (io.stderr.isTTY && io.env.TERM !== 'dumb') return new LiveProgress(io.stderr, io.now)
  return new PlainProgress(io.stderr, io.now)
}
