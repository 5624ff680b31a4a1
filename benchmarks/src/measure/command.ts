/** A program to run once, with everything that it depends on. */
export interface Command {
  readonly program: string
  readonly args: readonly string[]
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** A file to read as standard input; nothing by default. */
  readonly stdin?: string
  /** Where standard output goes: nowhere by default, else to a file or back to the caller. */
  readonly stdout?: { readonly to: 'file'; readonly path: string } | { readonly to: 'caller' }
  /** The program prints `{"seconds": ...}` for the part of its work that is to be measured. */
  readonly ownClock?: boolean
}

/** Tells that a measured program failed. */
export class CommandError extends Error {
  readonly code = 'ERR_COMMAND_FAILED'

  constructor(command: Command, reason: string) {
    super(`${command.program} ${command.args.join(' ')} failed: ${reason}`)
    this.name = 'CommandError'
  }
}
