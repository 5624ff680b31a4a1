import type { ExitCode } from '../exit-code.ts'
import type { CommandIo } from '../io.ts'
import type { Report } from '../output/report.ts'
import type { OptionTable } from './option-spec.ts'
import type { OptionValues } from './option-values.ts'

/** One call of a command, parsed. */
export interface Call {
  /** As many as the command names; the last may repeat. */
  readonly operands: readonly string[]
  readonly options: OptionValues
  readonly io: CommandIo
  readonly report: Report
}

/** A verb of the command line. */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Names of the operands; the last may be left out where it stands in brackets, and be repeated where it ends in `...`. */
  readonly operands: readonly string[]
  readonly options: OptionTable
  /** What the help says besides, in lines of at most 80 characters. */
  readonly notes?: string
  /** How things stand when the user has interrupted it. */
  readonly whenInterrupted?: string
  run(call: Call): Promise<ExitCode>
}

/** How the command is written: `platter backup REPO SOURCE`. */
export function synopsis(command: Command): string {
  return ['platter', command.name, ...command.operands].join(' ')
}
