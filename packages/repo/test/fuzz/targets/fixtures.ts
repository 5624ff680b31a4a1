import {
  encryptedRecords,
  plainRecords,
  type RandomSource,
  type RecordSealer,
  type RecordType,
  type SessionId,
  SUITE,
} from '@platter/core'
import { noise } from '../../adversity.ts'

/** Bytes of a fixed pattern instead of random ones, so that seeds are the same in every run. */
export const FIXED_RANDOM: RandomSource = (length) => {
  const known = fixed.get(length) ?? noise(`random ${length}`, length)
  fixed.set(length, known)
  return known.slice()
}
const fixed = new Map<number, Uint8Array>()

export const KEY: Uint8Array = noise('fuzzing key', 32)
/** Records of an encrypted repository, with the same salt every time: nothing of it is ever stored. */
export const ENCRYPTED_RECORDS: RecordSealer = encryptedRecords(KEY, FIXED_RANDOM)

export const SESSION = '0123456789abcdef0123456789abcdef' as SessionId
export const OTHER_SESSION = 'fedcba9876543210fedcba9876543210' as SessionId

export const hexOf = (seed: string, length: number): string =>
  Buffer.from(noise(seed, length)).toString('hex')

/** The parts of an object, as it would be stored. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

/** Payload of a record that an encoder made. */
export function payloadOf(type: RecordType, name: string, parts: readonly Uint8Array[]): Uint8Array {
  return plainRecords.open(type, name, joined(parts)).slice()
}

/** Puts a right envelope around any payload: with a checksum, or, one in eight, encrypted. */
export function sealed(
  type: RecordType,
  name: string,
  payload: Uint8Array,
): { readonly records: RecordSealer; readonly bytes: Uint8Array } {
  const records = isSealedInput(payload) ? ENCRYPTED_RECORDS : plainRecords
  return { records, bytes: joined(records.seal(type, name, payload)) }
}

/** Decided by the input itself, so that it can be repeated. */
function isSealedInput(payload: Uint8Array): boolean {
  return ((payload.at(-1) ?? 0) & 7) === SUITE['aes-256-gcm']
}

/** Text of an input. */
export function textOf(input: Uint8Array): string {
  return Buffer.from(input.buffer, input.byteOffset, input.length).toString('utf8')
}

export function textSeeds(...texts: readonly string[]): Uint8Array[] {
  return texts.map((text) => new Uint8Array(Buffer.from(text)))
}
