import { inspect } from 'node:util'
import { PlatterError } from '@platter/core'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import type { CommandIo } from '../io.ts'
import { Interruption } from '../io.ts'
import { hintFor } from './hints.ts'

/** Why a command failed, ready to be told. */
export interface Failure {
  readonly exitCode: ExitCode
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  readonly details: object | undefined
  /** Where it happened, for developers; only when PLATTER_DEBUG is set. */
  readonly trace: string | undefined
}

/** Puts any thrown value into words; `whenInterrupted` is the hint for an interruption. */
export function failureOf(error: unknown, io: CommandIo, whenInterrupted?: string): Failure {
  const trace = io.env.PLATTER_DEBUG === '1' ? inspect(error) : undefined
  const failed = { exitCode: ExitCode.failed, hint: undefined, details: undefined, trace }

  if (error instanceof UsageError) {
    return { ...failed, exitCode: ExitCode.usage, code: error.code, message: error.message, hint: error.hint }
  }
  if (io.signal.aborted) {
    // Whatever an abort made fail on its way, it is the abort that the user should hear of.
    const reason: unknown = io.signal.reason
    const message = reason instanceof Interruption ? reason.message : 'Interrupted.'
    return { ...failed, code: 'ERR_INTERRUPTED', message, hint: whenInterrupted }
  }
  if (PlatterError.is(error)) {
    const { code, message, details } = error
    return { ...failed, code, message, details, hint: hintFor(error) }
  }
  return {
    ...failed,
    code: 'ERR_INTERNAL',
    message: `Unexpected failure: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'This is a bug in platter. PLATTER_DEBUG=1 shows where it happened.',
  }
}
