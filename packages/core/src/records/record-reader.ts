import { PlatterError } from '../errors.ts'
import { decodeRecord, type RecordValue } from './msgpack.ts'

/**
 * Reads the fields of a decoded record one by one and checks each one's type. What is missing or of another type
 * is ERR_CORRUPT_RECORD, naming the record and the field.
 */
export class RecordReader {
  readonly #what: string
  readonly #fields: { readonly [key: string]: RecordValue }

  /** @param what how messages call the record, such as 'snapshot 3f…'. */
  constructor(value: RecordValue | undefined, what: string) {
    this.#what = what
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw this.#corrupt('is not a map')
    }
    this.#fields = value as { readonly [key: string]: RecordValue }
  }

  /** Decodes bytes and reads them. @throws ERR_CORRUPT_RECORD */
  static decode(bytes: Uint8Array, what: string): RecordReader {
    return new RecordReader(decodeRecord(bytes), what)
  }

  has(field: string): boolean {
    return Object.hasOwn(this.#fields, field)
  }

  isNull(field: string): boolean {
    return this.#get(field) === null
  }

  string(field: string, maxLength = 4096): string {
    const value = this.#get(field)
    if (typeof value !== 'string' || value.length > maxLength) throw this.#bad(field, 'a string')
    return value
  }

  boolean(field: string): boolean {
    const value = this.#get(field)
    if (typeof value !== 'boolean') throw this.#bad(field, 'a boolean')
    return value
  }

  /** A whole number from `min` to `max`, both included. */
  integer(field: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#get(field)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw this.#bad(field, `a whole number from ${min} to ${max}`)
    }
    return value
  }

  /** A finite number that is not negative. */
  number(field: string): number {
    const value = this.#get(field)
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw this.#bad(field, 'a number')
    return value
  }

  /** Bytes of exactly `length`. */
  bytes(field: string, length: number): Uint8Array {
    const value = this.#get(field)
    if (!(value instanceof Uint8Array) || value.length !== length) throw this.#bad(field, `${length} bytes`)
    return new Uint8Array(value)
  }

  /** Bytes of any length up to `maxLength`. */
  byteString(field: string, maxLength: number): Uint8Array {
    const value = this.#get(field)
    if (!(value instanceof Uint8Array) || value.length > maxLength)
      throw this.#bad(field, `at most ${maxLength} bytes`)
    return new Uint8Array(value)
  }

  list(field: string, maxItems: number): readonly RecordValue[] {
    const value = this.#get(field)
    if (!Array.isArray(value) || value.length > maxItems)
      throw this.#bad(field, `a list of at most ${maxItems}`)
    return value
  }

  strings(field: string, maxItems: number): readonly string[] {
    return this.list(field, maxItems).map((item) => {
      if (typeof item !== 'string') throw this.#bad(field, 'a list of strings')
      return item
    })
  }

  record(field: string): RecordReader {
    return new RecordReader(this.#get(field), `${this.#what}, field '${field}'`)
  }

  records(field: string, maxItems: number): readonly RecordReader[] {
    return this.list(field, maxItems).map(
      (item, i) => new RecordReader(item, `${this.#what}, ${field}[${i}]`),
    )
  }

  #get(field: string): RecordValue {
    const value = this.has(field) ? this.#fields[field] : undefined
    if (value === undefined) throw this.#corrupt(`lacks the field '${field}'`)
    return value
  }

  #bad(field: string, wanted: string): PlatterError {
    return this.#corrupt(`has a field '${field}' that is not ${wanted}`)
  }

  #corrupt(problem: string): PlatterError {
    return new PlatterError('ERR_CORRUPT_RECORD', `The ${this.#what} ${problem}.`)
  }
}
