import { ensure, SurveyError } from './survey-error.ts'

const decoder = new TextDecoder()

/**
 * Numbers and texts in a structure on disk, by their offset. What lies outside the structure is an inconsistency of
 * the filesystem: an offset that was read from disk may say anything.
 */
export class Fields {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #littleEndian: boolean

  constructor(bytes: Uint8Array, order: 'little' | 'big' = 'little') {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#littleEndian = order === 'little'
  }

  get length(): number {
    return this.bytes.length
  }

  u8(offset: number): number {
    this.#assertWithin(offset, 1)
    return this.#view.getUint8(offset)
  }

  u16(offset: number): number {
    this.#assertWithin(offset, 2)
    return this.#view.getUint16(offset, this.#littleEndian)
  }

  u32(offset: number): number {
    this.#assertWithin(offset, 4)
    return this.#view.getUint32(offset, this.#littleEndian)
  }

  /** A number of up to 2^53 - 1; more than that is no size or place on any volume. */
  u64(offset: number): number {
    this.#assertWithin(offset, 8)
    const value = this.#view.getBigUint64(offset, this.#littleEndian)
    ensure(value <= BigInt(Number.MAX_SAFE_INTEGER), 'out-of-range', `a number of ${value} is out of range`)
    return Number(value)
  }

  slice(offset: number, length: number): Uint8Array {
    this.#assertWithin(offset, length)
    return this.bytes.subarray(offset, offset + length)
  }

  /** A part of it, with the same order of bytes unless it is said. */
  fields(offset: number, length: number, order?: 'little' | 'big'): Fields {
    return new Fields(this.slice(offset, length), order ?? (this.#littleEndian ? 'little' : 'big'))
  }

  /** Whether the characters of `text` stand at `offset`, one byte each. */
  says(offset: number, text: string): boolean {
    if (offset < 0 || offset + text.length > this.length) return false
    for (let i = 0; i < text.length; i++) {
      if (this.bytes[offset + i] !== text.charCodeAt(i)) return false
    }
    return true
  }

  /** Text that ends at the first zero; undefined when it is empty. */
  text(offset: number, length: number): string | undefined {
    const bytes = this.slice(offset, length)
    const end = bytes.indexOf(0)
    return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end)).trimEnd() || undefined
  }

  /** Undefined when it is all zeros. */
  uuid(offset: number): string | undefined {
    const hex = Buffer.from(this.slice(offset, 16)).toString('hex')
    if (/^0*$/.test(hex)) return undefined
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  }

  #assertWithin(offset: number, length: number): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.length) return
    throw new SurveyError(
      'out-of-range',
      `a structure of ${this.length} bytes is to have ${length} bytes at offset ${offset}`,
    )
  }
}

/** Whether `n` is a power of two between the two, inclusive. */
export function isPowerOfTwo(n: number, min: number, max: number): boolean {
  return n >= min && n <= max && Number.isInteger(Math.log2(n))
}
