import type { ScryptParameters } from '@platter/repo'

/** A place for text: standard output, standard error, or a test's buffer. */
export interface TextOutput {
  write(text: string): void
  /** True when a person watches. */
  readonly isTTY: boolean
  /** Width in characters, where there is one. */
  readonly columns: number | undefined
  /** True once the reader has gone away; what is written then is lost. */
  readonly broken: boolean
}

/** All that a command uses of the process around it. */
export interface CommandIo {
  readonly stdin: { readonly isTTY: boolean }
  /** Asks for a line without showing it; absent where there is no terminal to type at. */
  readonly askSecret?: (question: string) => Promise<string>
  readonly stdout: TextOutput
  readonly stderr: TextOutput
  /** Aborted, with an {@link Interruption} as reason, when the user wants the command to end. */
  readonly signal: AbortSignal
  readonly env: Readonly<Record<string, string | undefined>>
  /** Milliseconds that only grow. */
  readonly now: () => number
  /** What new passphrases cost to try, for tests that make many. Absent, the library's default; no option sets it. */
  readonly kdf?: ScryptParameters
}

/** The option of the library for {@link CommandIo.kdf}. */
export function kdfOption({ kdf }: CommandIo): { readonly kdf?: ScryptParameters } {
  return kdf === undefined ? {} : { kdf }
}

/** The reason a command's signal is aborted with. */
export class Interruption extends Error {
  override readonly name = 'Interruption'
  readonly signalName: string

  constructor(signalName: string) {
    super(`Interrupted by ${signalName}.`)
    this.signalName = signalName
  }
}

/** Standard output or error of the process, where a reader that went away (`| head`) is no failure. */
export class StreamOutput implements TextOutput {
  readonly #stream: NodeJS.WriteStream
  #broken = false

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    // Without a listener a closed pipe or terminal ends the process with a stack trace.
    stream.on('error', () => {
      this.#broken = true
    })
  }

  get isTTY(): boolean {
    return this.#stream.isTTY === true
  }

  get columns(): number | undefined {
    // A terminal that has not been told its size says 0.
    return this.#stream.columns || undefined
  }

  get broken(): boolean {
    return this.#broken
  }

  write(text: string): void {
    if (!this.#broken) this.#stream.write(text)
  }

  /** Resolves when everything written has left the process, or cannot any more. */
  drained(): Promise<void> {
    if (this.#broken || this.#stream.destroyed) return Promise.resolve()
    return new Promise((resolve) => {
      this.#stream.write('', () => resolve())
    })
  }
}
