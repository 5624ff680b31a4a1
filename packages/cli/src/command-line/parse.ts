import { parseArgs } from 'node:util'
import type { Command } from './command.ts'
import { synopsis } from './command.ts'
import { nearest } from './nearest.ts'
import { COMMON_OPTIONS, type OptionSpec, type OptionTable } from './option-spec.ts'
import { OptionValues } from './option-values.ts'
import { UsageError } from './usage-error.ts'

/** What a command line asks for. */
export type Invocation =
  | {
      readonly kind: 'run'
      readonly command: Command
      readonly operands: string[]
      readonly options: OptionValues
    }
  | { readonly kind: 'help'; readonly command: Command | undefined }
  | { readonly kind: 'version' }

/**
 * Reads a command line. Options may stand before or after the command and its operands, `--` ends them, and `-`
 * is an operand.
 *
 * @throws UsageError
 */
export function parseCommandLine(argv: readonly string[], commands: readonly Command[]): Invocation {
  // Before the command is known, an option may be any command's: options of one name are of one kind everywhere.
  const every: OptionTable = Object.assign({}, ...commands.map((command) => command.options), COMMON_OPTIONS)
  const { options: given, operands: words } = split(argv, every)

  if (given.has('version')) return { kind: 'version' }
  const [verb] = words
  if (given.has('help') || verb === 'help') {
    return { kind: 'help', command: commandOf(verb === 'help' ? words.slice(1) : words, commands) }
  }
  if (verb === undefined) throw new UsageError('No command was given.', 'platter --help lists the commands.')
  const command = commandOf(words, commands)
  if (command === undefined) {
    const verbs = commands.filter(({ name }) => name.startsWith(`${verb} `))
    if (verbs.length > 0)
      throw new UsageError(
        `'platter ${verb}' needs to be told what to do.`,
        `Write ${verbs.map(({ name }) => `platter ${name}`).join(', ')}.`,
      )
    const near = nearest(
      verb,
      commands.map(({ name }) => name),
    )
    throw new UsageError(
      `There is no command '${verb}'.`,
      near === undefined ? 'platter --help lists the commands.' : `Did you mean 'platter ${near}'?`,
    )
  }

  const own: OptionTable = { ...command.options, ...COMMON_OPTIONS }
  for (const [name, values] of given) {
    const spec = own[name]
    if (spec === undefined)
      throw new UsageError(`'${command.name}' has no option --${name}.`, helpHint(command))
    if (values.length > 1 && spec.repeatable !== true)
      throw new UsageError(`--${name} was given more than once.`)
  }
  const operands = words.slice(command.name.split(' ').length)
  assertOperands(command, operands)
  return { kind: 'run', command, operands, options: new OptionValues(own, given) }
}

/** The command that the first word names, or the first two. */
function commandOf([verb, second]: readonly string[], commands: readonly Command[]): Command | undefined {
  return (
    commands.find(({ name }) => name === `${verb} ${second}`) ?? commands.find(({ name }) => name === verb)
  )
}

function split(
  argv: readonly string[],
  table: OptionTable,
): { options: Map<string, readonly string[]>; operands: string[] } {
  const config = Object.fromEntries(
    Object.entries(table).map(([name, { kind, short }]) => {
      // parseArgs has no optional values; as a flag, `--x` stands alone and `--x=5` still carries its value.
      const type = kind === 'value' ? ('string' as const) : ('boolean' as const)
      return [name, short === undefined ? { type } : { type, short }]
    }),
  )
  const { tokens } = parseArgs({
    args: [...argv],
    options: config,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })

  const options = new Map<string, string[]>()
  const operands: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const spec = Object.hasOwn(table, token.name) ? table[token.name] : undefined
    if (spec === undefined) throw unknownOption(token.rawName, table)
    const value = givenValue(token, spec)
    const earlier = options.get(token.name)
    options.set(token.name, [...(earlier ?? []), ...(value === undefined ? [] : [value])])
  }
  return { options, operands }
}

interface OptionToken {
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function givenValue({ rawName, value, inlineValue }: OptionToken, spec: OptionSpec): string | undefined {
  if (spec.kind === 'flag' && value !== undefined) throw new UsageError(`${rawName} takes no value.`)
  if (spec.kind !== 'value') return value
  if (value === undefined) throw new UsageError(`${rawName} needs a value.`)
  if (inlineValue !== true && value.startsWith('-') && value.length > 1) {
    throw new UsageError(
      `${rawName} needs a value, and '${value}' looks like an option.`,
      `Write ${rawName}=${value}.`,
    )
  }
  return value
}

function unknownOption(rawName: string, table: OptionTable): UsageError {
  const near = nearest(rawName.replace(/^-+/, ''), Object.keys(table))
  const hint = near === undefined ? 'platter COMMAND --help lists the options.' : `Did you mean --${near}?`
  return new UsageError(`There is no option ${rawName}.`, hint)
}

function assertOperands(command: Command, operands: readonly string[]): void {
  const names = command.operands
  const required = names.filter((name) => !name.startsWith('['))
  const most = /\.\.\.\]?$/.test(names.at(-1) ?? '') ? Number.POSITIVE_INFINITY : names.length
  if (operands.length < required.length) {
    const missing = required[operands.length]?.replace('...', '')
    throw new UsageError(`${missing} is missing.`, `Usage: ${synopsis(command)}`)
  }
  if (operands.length > most) {
    throw new UsageError(`'${operands[most]}' is one operand too many.`, `Usage: ${synopsis(command)}`)
  }
  if (operands.includes('')) throw new UsageError('An operand is empty.', `Usage: ${synopsis(command)}`)
}

function helpHint(command: Command): string {
  return `platter ${command.name} --help lists its options.`
}
