import { assert, PlatterError } from '@platter/core'
import { isWithin, type Volume } from '../volume.ts'
import { Fields } from './fields.ts'
import { SurveyError } from './survey-error.ts'

/** Most bytes of one read; bitmaps and tables are read in pieces of this size. */
export const PIECE_BYTES: number = 2 ** 20

/** The marks by which filesystems are recognised lie in here. */
export const HEAD_BYTES: number = 256 * 1024

/** What is read in smaller portions is read in pages, which are kept: nodes of trees lie close together. */
const PAGE_BYTES = 16 * 1024
const CACHED_PAGES = 512

/** However little is read counts for this much, so that going round in kept pages ends too. */
const LEAST_CHARGE_BYTES = 512

/** What finding out about a volume may cost. */
export interface ReadBudget {
  /** Bytes that may be asked for. */
  readonly bytes: number
  readonly millis: number
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number
  readonly signal: AbortSignal | undefined
}

/**
 * Reads structures of a filesystem: all that is asked for or a `SurveyError`, nothing beyond the volume, and nothing
 * beyond a budget. What is handed out may share memory with what others get: who changes it copies it first.
 */
export class VolumeReader {
  readonly sizeBytes: number
  readonly #volume: Volume
  readonly #budget: ReadBudget
  readonly #spent: { bytes: number; readonly deadline: number }
  /** By page number, the least recently used first. */
  readonly #pages = new Map<number, Uint8Array>()

  /** @param outer a reader whose budget counts for both */
  constructor(volume: Volume, budget: ReadBudget, outer?: VolumeReader) {
    this.#volume = volume
    this.#budget = budget
    this.#spent = outer === undefined ? { bytes: 0, deadline: budget.now() + budget.millis } : outer.#spent
    this.sizeBytes = volume.sizeBytes
  }

  /** A reader of a volume that lies within this one. */
  within(volume: Volume): VolumeReader {
    return new VolumeReader(volume, this.#budget, this)
  }

  /** What all probes look at. */
  async head(): Promise<Fields> {
    return this.fields(0, Math.min(HEAD_BYTES, this.sizeBytes))
  }

  async fields(offset: number, length: number, order: 'little' | 'big' = 'little'): Promise<Fields> {
    return new Fields(await this.bytes(offset, length), order)
  }

  /**
   * `length` bytes at `offset`, at most `PIECE_BYTES`. Both may come from the volume unchecked.
   *
   * @throws SurveyError `out-of-range`, `unreadable`, `too-costly`
   */
  async bytes(offset: number, length: number): Promise<Uint8Array> {
    if (!isWithin(offset, length, this.sizeBytes)) {
      throw new SurveyError(
        'out-of-range',
        `a structure of ${length} bytes at byte ${offset} does not lie on the volume of ${this.sizeBytes} bytes`,
      )
    }
    assert(length <= PIECE_BYTES, 'a structure is read in one piece that is too large')
    this.#charge(length)
    const number = Math.floor(offset / PAGE_BYTES)
    const at = offset - number * PAGE_BYTES
    const page = at + length <= PAGE_BYTES ? await this.#page(number) : undefined
    return page === undefined ? this.#readAll(offset, length) : page.subarray(at, at + length)
  }

  #charge(length: number): void {
    this.#spent.bytes += Math.max(length, LEAST_CHARGE_BYTES)
    if (this.#spent.bytes > this.#budget.bytes) {
      throw new SurveyError('too-costly', `more than ${this.#budget.bytes} bytes would have to be read`)
    }
    if (this.#budget.now() > this.#spent.deadline) {
      throw new SurveyError('too-costly', `it took more than ${this.#budget.millis} ms`)
    }
  }

  /** Undefined where a page cannot be read: what is wanted of it may still be readable. */
  async #page(number: number): Promise<Uint8Array | undefined> {
    let page = this.#pages.get(number)
    this.#pages.delete(number)
    if (page === undefined) {
      const offset = number * PAGE_BYTES
      try {
        page = await this.#readAll(offset, Math.min(PAGE_BYTES, this.sizeBytes - offset))
      } catch (error) {
        if (error instanceof SurveyError) return undefined
        throw error
      }
    }
    this.#pages.set(number, page)
    if (this.#pages.size > CACHED_PAGES) this.#pages.delete(this.#pages.keys().next().value!)
    return page
  }

  async #readAll(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    for (let done = 0; done < length; ) {
      const count = await this.#read(offset + done, bytes.subarray(done))
      if (count === 0) throw new SurveyError('unreadable', `the volume ends at byte ${offset + done}`)
      done += count
    }
    return bytes
  }

  async #read(offset: number, into: Uint8Array): Promise<number> {
    const { signal } = this.#budget
    signal?.throwIfAborted()
    try {
      return await this.#volume.read(offset, into, signal === undefined ? {} : { signal })
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_SOURCE_READ')) throw error
      throw new SurveyError('unreadable', error.message)
    }
  }
}
