import { Fields } from '../common/fields.ts'
import { ensure, hex, SurveyError } from '../common/survey-error.ts'
import { entrySetChecksum } from './checksums.ts'

export const ENTRY_BYTES = 32

/** Kinds of directory entries. Bit 7: in use, bit 6: belongs to the primary entry in front, bit 5: may be ignored. */
export const ENTRY = {
  end: 0x00,
  bitmap: 0x81,
  upcase: 0x82,
  label: 0x83,
  file: 0x85,
  volumeGuid: 0xa0,
  stream: 0xc0,
  name: 0xc1,
} as const

const IN_USE = 0x80
const SECONDARY = 0x40
const BENIGN = 0x20

const NAME_CHARACTERS = 15
const ONLY_IN_ROOT: readonly number[] = [ENTRY.bitmap, ENTRY.upcase, ENTRY.label, ENTRY.volumeGuid]

/** A primary entry and what belongs to it. */
export interface EntrySet {
  readonly kind: number
  readonly entries: readonly Fields[]
}

/**
 * Puts the entries of one directory together to sets. Source: "Directory Structure" and "Directory Entry Definitions" of
 * the specification.
 */
export class EntrySets {
  readonly #isRoot: boolean
  #entries: Fields[] = []
  #missing = 0

  constructor(isRoot: boolean) {
    this.#isRoot = isRoot
  }

  /**
   * Takes the next entry. Returns the set that it ends, if it ends one, and `end` when it ends the directory.
   *
   * @throws SurveyError when an entry is not known, out of place, or a set has the wrong checksum.
   */
  take(entry: Fields): EntrySet | 'end' | undefined {
    const kind = entry.u8(0)
    const belongs = (kind & IN_USE) !== 0 && (kind & SECONDARY) !== 0
    if (!belongs) this.assertWhole()
    ensure(!belongs || this.#missing > 0, 'inconsistent', 'a directory has a part of a set without its head')
    if (kind === ENTRY.end) return 'end'
    if ((kind & IN_USE) === 0) return undefined
    if (belongs) {
      this.#entries.push(entry)
      this.#missing--
    } else {
      this.#begin(kind, entry)
    }
    return this.#missing > 0 ? undefined : finished(this.#entries)
  }

  /** @throws SurveyError when entries of a set are missing. */
  assertWhole(): void {
    ensure(this.#missing === 0, 'inconsistent', 'a directory has a set of entries that is cut')
  }

  #begin(kind: number, entry: Fields): void {
    const isForRoot = ONLY_IN_ROOT.includes(kind)
    ensure(kind === ENTRY.file || isForRoot, 'unknown-feature', `entries of kind ${hex(kind)} are not known`)
    ensure(this.#isRoot || !isForRoot, 'inconsistent', `an entry of kind ${hex(kind)} is not in the root`)
    this.#entries = [entry]
    this.#missing = kind === ENTRY.file || kind === ENTRY.volumeGuid ? entry.u8(1) : 0
  }
}

function finished(entries: readonly Fields[]): EntrySet {
  const [primary] = entries as [Fields]
  const kind = primary.u8(0)
  if (kind === ENTRY.file || kind === ENTRY.volumeGuid) {
    const checksum = entrySetChecksum(entries.map(({ bytes }) => bytes))
    ensure(checksum === primary.u16(2), 'bad-checksum', 'the checksum of a set of directory entries is wrong')
  }
  if (kind === ENTRY.file) assertFile(entries)
  else ensure(entries.length === 1, 'unknown-feature', 'the volume GUID has entries that belong to it')
  return { kind, entries }
}

/** A file has its place and size, then its name, then what may be ignored. */
function assertFile([, stream, ...others]: readonly Fields[]): void {
  if (stream?.u8(0) !== ENTRY.stream) throw new SurveyError('inconsistent', 'a file has no place')
  const names = Math.ceil(stream.u8(3) / NAME_CHARACTERS)
  for (const [i, entry] of others.entries()) {
    const kind = entry.u8(0)
    if (i < names) ensure(kind === ENTRY.name, 'inconsistent', 'a file has a name that is cut')
    else ensure((kind & BENIGN) !== 0, 'unknown-feature', `entries of kind ${hex(kind)} are not known`)
  }
  ensure(names > 0 && others.length >= names, 'inconsistent', 'a file has a name that is cut')
}

/** One entry of a piece of a directory. */
export function entryAt(fields: Fields, at: number): Fields {
  return new Fields(fields.slice(at, ENTRY_BYTES))
}
