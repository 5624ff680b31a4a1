/** How one option is written and what it means. */
export interface OptionSpec {
  /** `optional-value` takes its value only as `--name=VALUE`. */
  readonly kind: 'flag' | 'value' | 'optional-value'
  readonly short?: string
  /** What stands for the value in the help, such as `NAME`. */
  readonly placeholder?: string
  /** May be given more than once. */
  readonly repeatable?: boolean
  readonly choices?: readonly string[]
  readonly help: string
}

export type OptionTable = Readonly<Record<string, OptionSpec>>

/** What every command takes. */
export const COMMON_OPTIONS: OptionTable = {
  json: {
    kind: 'flag',
    help: 'Print one JSON object on stdout; progress, warnings and errors as JSON on stderr.',
  },
  workers: { kind: 'value', placeholder: 'N', help: 'Worker threads; 0 does everything in one thread.' },
  quiet: { kind: 'flag', short: 'q', help: 'Print only what a script needs: no progress, no summary.' },
  'no-progress': { kind: 'flag', help: 'Show no progress.' },
  help: { kind: 'flag', short: 'h', help: 'Show how to use the command.' },
  version: { kind: 'flag', short: 'V', help: 'Show the version.' },
}

/** `--name=VALUE` as the help shows it. */
export function optionForm(name: string, spec: OptionSpec): string {
  const value = spec.choices?.join('|') ?? spec.placeholder ?? 'VALUE'
  const short = spec.short === undefined ? '' : `-${spec.short}, `
  if (spec.kind === 'flag') return `${short}--${name}`
  if (spec.kind === 'optional-value') return `${short}--${name}[=${value}]`
  return `${short}--${name} ${value}`
}
