import { SurveyError } from '../common/survey-error.ts'

/** A value of LVM's text format. */
export type TextValue = string | number | readonly (string | number)[] | TextSection

/** What stands between braces, by name. */
export type TextSection = ReadonlyMap<string, TextValue>

/** Sections of volume groups are four deep. */
const MAX_DEPTH = 8

const BLANKS = /(?:[ \t\r\n]+|#[^\n]*)*/y
const NAME = /[\w.+-]+/y
const NUMBER = /-?\d+(?![\w.])/y
const STRING = /"((?:[^"\\]|\\["\\])*)"/y

/**
 * Reads the text format in which LVM writes metadata: `name = value`, `name { ... }`, numbers, strings and arrays of
 * them. Source: "Volume Group Metadata" in lvmcache(7) and lvm.conf(5), and what the tools write.
 *
 * @throws SurveyError `inconsistent`
 */
export function parseTextFormat(text: string): TextSection {
  const parser = new Parser(text)
  const section = parser.section(0)
  parser.expectEnd()
  return section
}

class Parser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  section(depth: number): TextSection {
    if (depth > MAX_DEPTH) this.#fail('has too many braces')
    const values = new Map<string, TextValue>()
    for (let name = this.#match(NAME); name !== undefined; name = this.#match(NAME)) {
      if (values.has(name[0])) this.#fail(`has '${name[0].slice(0, 40)}' twice`)
      values.set(name[0], this.#take('{') ? this.#braced(depth) : this.#assigned())
    }
    return values
  }

  expectEnd(): void {
    this.#match(BLANKS)
    if (this.#at < this.#text.length) this.#fail('is not in its format')
  }

  #braced(depth: number): TextSection {
    const section = this.section(depth + 1)
    this.#expect('}')
    return section
  }

  #assigned(): TextValue {
    this.#expect('=')
    if (!this.#take('[')) return this.#scalar()
    const values: (string | number)[] = []
    while (!this.#take(']')) {
      if (values.length > 0) this.#expect(',')
      values.push(this.#scalar())
    }
    return values
  }

  #scalar(): string | number {
    const string = this.#match(STRING)
    if (string !== undefined) return string[1]!.replaceAll(/\\(.)/g, '$1')
    const number = Number(this.#match(NUMBER)?.[0])
    if (!Number.isSafeInteger(number)) this.#fail('has a value that is none')
    return number
  }

  #expect(character: string): void {
    if (!this.#take(character)) this.#fail(`lacks a ${character}`)
  }

  #take(character: string): boolean {
    this.#match(BLANKS)
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    if (pattern !== BLANKS) this.#match(BLANKS)
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return undefined
    this.#at = pattern.lastIndex
    return found
  }

  #fail(what: string): never {
    throw new SurveyError('inconsistent', `the text of its metadata ${what}, near character ${this.#at}`)
  }
}
