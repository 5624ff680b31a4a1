import { encodeRecord, PlatterError, RECORD_TYPE, RecordReader, type RecordSealer } from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'
import { MAX_DAMAGED_RANGES, MAX_IMAGE_BYTES } from './limits.ts'

const VERSION = 1

/**
 * Encodes a mark that says which ranges of a snapshot's image cannot be restored; none says that it is whole again.
 * There may be more than a mark can list: the closest ones are then listed as one, with what lies between them.
 */
export function encodeDamageMark(
  name: string,
  ranges: readonly ByteRange[],
  records: RecordSealer,
): Uint8Array[] {
  const payload = encodeRecord({
    version: VERSION,
    ranges: coarsened(ranges, MAX_DAMAGED_RANGES).map(({ offset, length }) => [offset, length]),
  })
  return records.seal(RECORD_TYPE.damage, name, payload)
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION */
export function decodeDamageMark(name: string, bytes: Uint8Array, records: RecordSealer): ByteRange[] {
  const record = RecordReader.decode(records.open(RECORD_TYPE.damage, name, bytes), `damage mark ${name}`)
  assertVersion(record, name)
  let end = 0
  return record.list('ranges', MAX_DAMAGED_RANGES).map((pair) => {
    const [offset, length] = Array.isArray(pair) ? pair : []
    if (!isWhole(offset, end) || !isWhole(length, 1) || offset + length > MAX_IMAGE_BYTES) {
      throw new PlatterError('ERR_CORRUPT_RECORD', `The damage mark ${name} has an impossible range.`, {
        object: name,
      })
    }
    end = offset + length
    return { offset, length }
  })
}

/** Encodes the record that puts a damaged pack aside. */
export function encodeQuarantine(name: string, records: RecordSealer): Uint8Array[] {
  return records.seal(RECORD_TYPE.quarantine, name, encodeRecord({ version: VERSION }))
}

/** Ranges joined where the gaps between them are shortest, until there are at most `max`. */
export function coarsened(ranges: readonly ByteRange[], max: number): readonly ByteRange[] {
  if (ranges.length <= max) return ranges
  const gaps = ranges.slice(1).map(({ offset }, i) => offset - endOf(ranges[i]!))
  const kept = new Set(
    gaps
      .map((gap, i) => ({ gap, i }))
      .sort((a, b) => b.gap - a.gap)
      .slice(0, max - 1)
      .map(({ i }) => i),
  )
  const joined: ByteRange[] = []
  let { offset } = ranges[0]!
  ranges.forEach((range, i) => {
    if (i < gaps.length && !kept.has(i)) return
    joined.push({ offset, length: endOf(range) - offset })
    offset = ranges[i + 1]?.offset ?? 0
  })
  return joined
}

function endOf({ offset, length }: ByteRange): number {
  return offset + length
}

function assertVersion(record: RecordReader, name: string): void {
  const version = record.integer('version')
  if (version === VERSION) return
  throw new PlatterError(
    'ERR_UNSUPPORTED_VERSION',
    `The object ${name} has record version ${version}; use a newer Platter.`,
    { object: name, expected: VERSION, actual: version },
  )
}

function isWhole(value: unknown, min: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min
}
