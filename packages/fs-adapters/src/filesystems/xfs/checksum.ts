import { crc32c } from '../common/crc32c.ts'
import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'

const ZEROS = new Uint8Array(4)

/**
 * Checks the CRC-32C of a structure, taken with zeros in its own place at `at`. It is the one number on XFS with the
 * low byte first.
 *
 * @throws SurveyError `bad-checksum`
 */
export function assertXfsChecksum(structure: Fields, at: number, name: string): void {
  const { bytes } = structure
  const before = crc32c(crc32c(0xffffffff, bytes.subarray(0, at)), ZEROS)
  const actual = (crc32c(before, bytes.subarray(at + 4)) ^ 0xffffffff) >>> 0
  const [b0, b1, b2, b3] = structure.slice(at, 4)
  const expected = (b0! | (b1! << 8) | (b2! << 16) | (b3! << 24)) >>> 0
  ensure(actual === expected, 'bad-checksum', `the checksum of ${name} is wrong`)
}

/**
 * Checks the UUID in a structure, which tells it from one of an earlier filesystem in the same place.
 *
 * @throws SurveyError `inconsistent`
 */
export function assertXfsUuid(structure: Fields, at: number, uuid: Uint8Array, name: string): void {
  const isSame = Buffer.compare(structure.slice(at, 16), uuid) === 0
  ensure(isSame, 'inconsistent', `${name} has the UUID of another filesystem`)
}
