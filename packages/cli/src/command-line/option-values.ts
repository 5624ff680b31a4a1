import type { OptionTable } from './option-spec.ts'
import { UsageError } from './usage-error.ts'

/** Most worker threads that can be asked for. */
export const MAX_WORKERS = 64

/** The options of one call, as they were given. */
export class OptionValues {
  readonly #table: OptionTable
  /** Name to values; a flag, or an optional value left out, is the empty list. */
  readonly #given: ReadonlyMap<string, readonly string[]>

  constructor(table: OptionTable, given: ReadonlyMap<string, readonly string[]>) {
    this.#table = table
    this.#given = given
    for (const name of given.keys()) this.#assertChoice(name)
  }

  has(name: string): boolean {
    return this.#given.has(name)
  }

  /** Value of an option that is given at most once. */
  text(name: string): string | undefined {
    return this.#given.get(name)?.[0]
  }

  /** Values of an option that may be repeated. */
  texts(name: string): readonly string[] {
    return this.#given.get(name) ?? []
  }

  /** `--workers`, as the library takes it: absent when not given. */
  workers(): { readonly workers?: number } {
    const text = this.text('workers')
    if (text === undefined) return {}
    if (!/^\d+$/.test(text) || Number(text) > MAX_WORKERS) {
      throw new UsageError(`--workers takes a number from 0 to ${MAX_WORKERS}, not '${text}'.`)
    }
    return { workers: Number(text) }
  }

  /** `0.05` or `5%` as a fraction: greater than 0, at most 1. */
  fraction(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const [, digits, percent] = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text) ?? []
    const fraction = Number(digits) / (percent === '%' ? 100 : 1)
    if (digits === undefined || !(fraction > 0 && fraction <= 1)) {
      throw new UsageError(
        `--${name} takes a fraction such as 0.05 or 5%, or a part such as 2/7, not '${text}'.`,
      )
    }
    return fraction
  }

  /** `5` or `5%` of a hundred as a fraction from 0 to 1. */
  percent(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const percent = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN
    if (!(percent <= 100))
      throw new UsageError(`--${name} takes a percentage from 0 to 100, such as 5, not '${text}'.`)
    return percent / 100
  }

  /** A size in bytes: `1048576`, `512M`, `1.5GiB`; units count in powers of 1024. */
  bytes(name: string): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text) ?? []
    const bytes = Math.round(Number(digits) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf(unit.toLowerCase()))
    if (digits === undefined || !Number.isSafeInteger(bytes))
      throw new UsageError(`--${name} takes a size such as 512M or 10G, not '${text}'.`)
    return bytes
  }

  #assertChoice(name: string): void {
    const choices = this.#table[name]?.choices
    const value = this.text(name)
    if (choices === undefined || value === undefined || choices.includes(value)) return
    throw new UsageError(`--${name} takes ${choices.join(', ')}, not '${value}'.`)
  }
}
