import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { utf16 } from '../common/utf16.ts'
import { withFixups } from './fixups.ts'

/** Types of attributes. */
export const ATTRIBUTE = {
  standardInformation: 0x10,
  attributeList: 0x20,
  fileName: 0x30,
  volumeName: 0x60,
  volumeInformation: 0x70,
  data: 0x80,
  bitmap: 0xb0,
} as const

const END = 0xffffffff
const IN_USE = 0x01
/** Where records end their header that know their own number, since version 3.1. */
const NUMBERED_HEADER_BYTES = 48

/** Leads to a record; the sequence number is that of the use of the record which is meant. */
export interface FileReference {
  readonly number: number
  readonly sequence: number
}

/** A record of the master file table: a file, or the rest of one that does not fit into its first record. */
export interface FileRecord extends FileReference {
  /** The file whose rest this is; undefined for a first record. */
  readonly base: FileReference | undefined
  /** Number of names. */
  readonly links: number
  readonly attributes: readonly Attribute[]
}

/** An attribute of a file, or the part of it that one record has. */
export interface Attribute {
  readonly type: number
  readonly name: string
  /** Compressed, encrypted or sparse; 0 for none of it. */
  readonly flags: number
  /** The value, of a resident one. */
  readonly value: Fields | undefined
  /** Where the value lies, of one that is not resident. */
  readonly place: AttributePlace | undefined
}

/** Where the value of an attribute lies, or a part of it. */
export interface AttributePlace {
  /** First cluster of the value which this part has, and how many. */
  readonly firstCluster: number
  readonly clusters: number
  readonly mappingPairs: Fields
  /** Sizes of the whole value, which only the part that begins it has. */
  readonly sizes: AttributeSizes | undefined
}

/** Sizes in bytes of a value that is not resident. */
export interface AttributeSizes {
  readonly allocated: number
  readonly data: number
  /** What lies behind it reads as zeros. */
  readonly initialised: number
}

/** Whether a record is in use, told without a look at its fixups, which do not lie there. */
export function isInUse(record: Fields): boolean {
  return record.says(0, 'FILE') && (record.u16(22) & IN_USE) !== 0
}

/**
 * A record that is in use. Source: "FILE Record" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError
 */
export function parseFileRecord(bytes: Uint8Array, number: number): FileRecord {
  const name = `record ${number} of the master file table`
  const all = withFixups(bytes, name)
  ensure(isInUse(all), 'inconsistent', `${name} is not in use`)
  const usedBytes = all.u32(24)
  const isPossible = usedBytes <= all.length && all.u32(28) === all.length
  ensure(isPossible, 'inconsistent', `${name} has an impossible size`)
  if (all.u16(4) >= NUMBERED_HEADER_BYTES) {
    ensure(all.u32(44) === number % 2 ** 32, 'inconsistent', `${name} is record ${all.u32(44)}`)
  }
  const base = referenceAt(all, 32)
  return {
    number,
    sequence: all.u16(16),
    base: base.number === 0 && base.sequence === 0 ? undefined : base,
    links: all.u16(18),
    attributes: parseAttributes(all.fields(0, usedBytes), name),
  }
}

export function referenceAt(fields: Fields, offset: number): FileReference {
  return {
    number: fields.u32(offset) + fields.u16(offset + 4) * 2 ** 32,
    sequence: fields.u16(offset + 6),
  }
}

function parseAttributes(record: Fields, name: string): Attribute[] {
  const attributes: Attribute[] = []
  let at = record.u16(20)
  while (record.u32(at) !== END) {
    const length = record.u32(at + 4)
    const isPossible = at % 8 === 0 && length >= 24 && length % 8 === 0
    ensure(isPossible, 'inconsistent', `${name} has an attribute of an impossible size`)
    attributes.push(parseAttribute(record.fields(at, length)))
    at += length
  }
  return attributes
}

function parseAttribute(fields: Fields): Attribute {
  const nameLength = fields.u8(9)
  const isResident = fields.u8(8) === 0
  ensure(isResident || fields.u8(8) === 1, 'inconsistent', 'an attribute is neither resident nor elsewhere')
  return {
    type: fields.u32(0),
    name: nameLength === 0 ? '' : (utf16(fields.slice(fields.u16(10), nameLength * 2)) ?? ''),
    flags: fields.u16(12),
    value: isResident ? fields.fields(fields.u16(20), fields.u32(16)) : undefined,
    place: isResident ? undefined : parsePlace(fields),
  }
}

function parsePlace(fields: Fields): AttributePlace {
  const firstCluster = fields.u64(16)
  // One without clusters ends at -1.
  const isEmpty = fields.u32(24) === 0xffffffff && fields.u32(28) === 0xffffffff
  const clusters = isEmpty ? 0 : fields.u64(24) - firstCluster + 1
  ensure(
    clusters >= 0 && (!isEmpty || firstCluster === 0),
    'inconsistent',
    'an attribute ends before it begins',
  )
  const pairsAt = fields.u16(32)
  ensure(pairsAt <= fields.length, 'out-of-range', 'an attribute says its place outside of itself')
  const sizes = { allocated: fields.u64(40), data: fields.u64(48), initialised: fields.u64(56) }
  ensure(sizes.initialised <= sizes.data, 'inconsistent', 'an attribute has more content than size')
  return {
    firstCluster,
    clusters,
    mappingPairs: fields.fields(pairsAt, fields.length - pairsAt),
    sizes: firstCluster === 0 ? sizes : undefined,
  }
}
