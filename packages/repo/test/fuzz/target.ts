import { type ErrorCode, PlatterError } from '@platter/core'

/** What an input is made of, which decides how it is mutated. */
export type InputForm = 'bytes' | 'messagepack' | 'text'

/** One parser, as the fuzzer sees it. */
export interface FuzzTarget {
  readonly name: string
  readonly form: InputForm
  /** Valid inputs, made by the real encoders. */
  readonly seeds: readonly Uint8Array[]
  /** The codes that the parser's documentation names. Anything else it throws is a finding. */
  readonly codes: readonly (ErrorCode | 'ERR_USAGE')[]
  /**
   * Gives an input to the parser. Where a checksum or a seal would refuse every mutation, the input is what stands
   * inside, and this puts a right one around it. Throws a {@link Finding} when a value comes out that is not sound.
   * Text that it returns says how it ended, where that is not by a value or an error.
   */
  run(input: Uint8Array): unknown
}

/** The parser took what it should have refused, or made something else of it. */
export class Finding extends Error {
  override readonly name = 'Finding'
}

/** @throws Finding unless `condition` holds for what a parser gave back. */
export function sound(condition: boolean, what: string): void {
  if (!condition) throw new Finding(what)
}

/** What came of one input: 'value' or what the target says, or the code of a documented error; anything else is described by a finding. */
export async function verdict(target: FuzzTarget, input: Uint8Array): Promise<string | Finding> {
  try {
    const given = target.run(input)
    const result: unknown = given instanceof Promise ? await given : given
    return typeof result === 'string' ? result : 'value'
  } catch (error) {
    return judged(target, error)
  }
}

function judged(target: FuzzTarget, error: unknown): string | Finding {
  if (error instanceof Finding) return error
  const code = codeOf(error)
  if (code === undefined) return new Finding(`untyped: ${String(error)}`, { cause: error })
  if ((target.codes as readonly string[]).includes(code)) return code
  return new Finding(`undocumented ${code}`, { cause: error })
}

function codeOf(error: unknown): string | undefined {
  if (error instanceof PlatterError) return error.code
  // Errors of the command line and of fast-cdc are typed, but not PlatterErrors.
  const isTyped =
    error instanceof Error && (error.name === 'UsageError' || error.name === 'InvalidArgumentError')
  return isTyped && 'code' in error ? String(error.code) : undefined
}

/**
 * Checks that a value which a decoder gave is stable: encoded and decoded again, it is the same.
 *
 * @throws Finding
 */
export function assertStable<Value>(value: Value, again: (value: Value) => Value): void {
  sound(isSame(value, again(value)), 'what was decoded, encoded again and decoded, is something else')
}

/** Deep equality of plain data. 0 and -0 are the same number, as they are to every parser here. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return typeof a === 'number' && Number.isNaN(a) && Number.isNaN(b)
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  return names.every(
    (name) =>
      Object.hasOwn(b, name) &&
      isSame((a as Record<string, unknown>)[name], (b as Record<string, unknown>)[name]),
  )
}
