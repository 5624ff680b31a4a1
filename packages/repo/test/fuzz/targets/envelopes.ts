// The envelope of records: with and without encryption, as it comes, and with a checksum or tag that fits.
import {
  createHasher,
  deriveKey,
  plainRecords,
  RECORD_HEADER_BYTES,
  RECORD_TYPE,
  type RecordSealer,
  sealAesGcm,
} from '@platter/core'
import { noise } from '../../adversity.ts'
import { type FuzzTarget, sound } from '../target.ts'
import { ENCRYPTED_RECORDS, joined, KEY, SESSION } from './fixtures.ts'

const NAME = `snapshots/${SESSION}`
const NAME_BYTES = Buffer.from(`${String.fromCharCode(NAME.length)}${NAME}`, 'latin1')
const PAYLOAD = noise('payload', 100)
const CODES = ['ERR_CORRUPT_RECORD', 'ERR_UNSUPPORTED_VERSION'] as const
const SALT_BYTES = 32

/** Opens the input as a record; only what was sealed so may open. */
function rawTarget(name: string, records: RecordSealer): FuzzTarget {
  const seed = joined(records.seal(RECORD_TYPE.snapshot, NAME, PAYLOAD))
  const others = [
    joined(records.seal(RECORD_TYPE.fence, NAME, PAYLOAD)),
    joined(records.seal(RECORD_TYPE.snapshot, `${NAME}x`, PAYLOAD)),
  ]
  return {
    name,
    form: 'bytes',
    seeds: [seed, ...others],
    codes: CODES,
    run(input) {
      const payload = records.open(RECORD_TYPE.snapshot, NAME, input)
      sound(Buffer.compare(input, seed) === 0, 'an altered record opens')
      sound(Buffer.compare(payload, PAYLOAD) === 0, 'a record opens to something else')
    },
  }
}

const hasher = createHasher()

const checksummed: FuzzTarget = {
  name: 'record-checksummed',
  form: 'bytes',
  seeds: [joined(plainRecords.seal(RECORD_TYPE.snapshot, NAME, PAYLOAD)).subarray(0, -32)],
  codes: CODES,
  run(input) {
    const sum = hasher.hashParts([NAME_BYTES, input])
    assertOpened(plainRecords, joined([input, sum]), input.subarray(RECORD_HEADER_BYTES), 0)
  },
}

/** Length of the payload, payload, zeros: a record of 256 bytes. */
const PLAIN = joined([Uint8Array.of(PAYLOAD.length, 0, 0, 0), PAYLOAD, new Uint8Array(88)])

/** Input: header, salt and plaintext. */
const encrypted: FuzzTarget = {
  name: 'record-encrypted',
  form: 'bytes',
  seeds: [
    joined([joined(ENCRYPTED_RECORDS.seal(RECORD_TYPE.snapshot, NAME, PAYLOAD)).subarray(0, 48), PLAIN]),
  ],
  codes: CODES,
  run(input) {
    const sealedAt = RECORD_HEADER_BYTES + SALT_BYTES
    const [frame, plain] = [input.subarray(0, sealedAt), input.subarray(sealedAt)]
    const key = deriveKey(KEY, frame.subarray(RECORD_HEADER_BYTES), 'platter v1 one record')
    const additionalData = joined([frame, NAME_BYTES])
    const body = sealAesGcm({ key, nonce: new Uint8Array(12), additionalData }, plain)
    const payloadBytes = plain.length < 4 ? 0 : Buffer.from(plain.subarray(0, 4)).readUInt32LE(0)
    const payload = plain.subarray(4, 4 + payloadBytes)
    assertOpened(ENCRYPTED_RECORDS, joined([frame, body]), payload, 1, plain.length)
    sound(payload.length === payloadBytes, 'a record opens that is shorter than it says')
    sound(!plain.subarray(4 + payloadBytes).some((byte) => byte !== 0), 'a record opens with more in it')
  },
}

/** Opens a record whose header may say anything; what opens must say the truth. */
function assertOpened(
  records: RecordSealer,
  bytes: Uint8Array,
  payload: Uint8Array,
  suite: number,
  declaredBytes = payload.length,
): void {
  const opened = records.open(RECORD_TYPE.snapshot, NAME, bytes)
  sound(Buffer.compare(opened, payload) === 0, 'a record opens to something else')
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, RECORD_HEADER_BYTES)
  const isTrue = header[4] === 1 && header[5] === 4 && header[6] === suite
  sound(isTrue && header.readUInt32LE(8) === declaredBytes, 'a record opens whose header lies')
}

export const ENVELOPE_TARGETS: readonly FuzzTarget[] = [
  rawTarget('record-raw', plainRecords),
  rawTarget('record-encrypted-raw', ENCRYPTED_RECORDS),
  checksummed,
  encrypted,
]
