import { AES_GCM_NONCE_BYTES, AES_GCM_TAG_BYTES, openAesGcm, sealAesGcm } from '../crypto/aes-gcm.ts'
import { deriveKey } from '../crypto/derive-key.ts'
import { paddedLength } from '../crypto/padded-length.ts'
import { SUITE } from '../crypto/suite.ts'
import { type RandomSource, systemRandom } from '../ids.ts'
import type { RecordSealer } from './record-sealer.ts'
import {
  assertRecordHeader,
  assertRecordMagic,
  corruptRecord,
  RECORD_HEADER_BYTES,
  type RecordType,
  recordHeader,
  suiteOfRecord,
} from './sealed-record.ts'

/** Random bytes in each encrypted record, from which its key is derived. */
export const RECORD_SALT_BYTES = 32
/** Bytes of an encrypted record around its payload: header, salt, length of the payload, and tag. */
export const ENCRYPTED_RECORD_OVERHEAD_BYTES: number =
  RECORD_HEADER_BYTES + RECORD_SALT_BYTES + 4 + AES_GCM_TAG_BYTES

/** Length of the shortest records: of sessions, fences, tombstones. */
const SHORT_RECORD_BYTES = 256
/** What longer ones are a multiple of: snapshots with usual names, hosts and tags all have one length. */
const RECORD_STEP_BYTES = 1024
const LENGTH_BYTES = 4

/** Each key seals one record only, so its only nonce can be all zeros. */
const NONCE = new Uint8Array(AES_GCM_NONCE_BYTES)

/**
 * Records nobody can read, alter or exchange for one another without the metadata key: header, salt, ciphertext, tag.
 * Each has a key of its own, derived from its salt; name, type and length are authenticated (docs/format.md,
 * Sealed records). What is encrypted is filled up, so that the length of a record says little about its payload. A
 * record that is not encrypted is refused.
 *
 * @param metadataKey 32 bytes; kept, not copied, so that filling it with zeros ends all sealing and opening.
 */
export function encryptedRecords(metadataKey: Uint8Array, random: RandomSource = systemRandom): RecordSealer {
  return Object.freeze({
    suite: SUITE['aes-256-gcm'],
    seal(type: RecordType, name: string, payload: Uint8Array): Uint8Array[] {
      const plain = padded(payload)
      const header = recordHeader(type, SUITE['aes-256-gcm'], plain.length)
      const salt = random(RECORD_SALT_BYTES)
      return [header, salt, sealAesGcm(cipherInput(metadataKey, header, salt, name), plain)]
    },
    open(type: RecordType, name: string, bytes: Uint8Array): Uint8Array {
      if (bytes.length < ENCRYPTED_RECORD_OVERHEAD_BYTES) throw corruptRecord(name, 'is cut short')
      const header = bytes.subarray(0, RECORD_HEADER_BYTES)
      assertRecordMagic(header, name)
      if (suiteOfRecord(header) === SUITE.none)
        throw corruptRecord(name, 'is not encrypted, as everything in this repository is')
      const sealedAt = RECORD_HEADER_BYTES + RECORD_SALT_BYTES
      const salt = bytes.subarray(RECORD_HEADER_BYTES, sealedAt)
      const plain = openAesGcm(cipherInput(metadataKey, header, salt, name), bytes.subarray(sealedAt))
      if (plain === undefined) throw corruptRecord(name, 'was altered, or is not of this repository')
      assertRecordHeader(header, { type, suite: SUITE['aes-256-gcm'], payloadBytes: plain.length }, name)
      return unpadded(plain, name)
    },
  })
}

/** Length of a payload, the payload, zeros. */
function padded(payload: Uint8Array): Uint8Array {
  const unpaddedBytes = ENCRYPTED_RECORD_OVERHEAD_BYTES + payload.length
  const recordBytes =
    unpaddedBytes <= SHORT_RECORD_BYTES ? SHORT_RECORD_BYTES : paddedLength(unpaddedBytes, RECORD_STEP_BYTES)
  const plain = new Uint8Array(LENGTH_BYTES + payload.length + recordBytes - unpaddedBytes)
  new DataView(plain.buffer).setUint32(0, payload.length, true)
  plain.set(payload, LENGTH_BYTES)
  return plain
}

/** The payload, as a view. How far it was filled up is the writer's business; with what, is not. */
function unpadded(plain: Uint8Array, name: string): Uint8Array {
  const payloadBytes = new DataView(plain.buffer, plain.byteOffset, plain.length).getUint32(0, true)
  const end = LENGTH_BYTES + payloadBytes
  if (end > plain.length) throw corruptRecord(name, 'says that it is longer than it is')
  if (plain.subarray(end).some((byte) => byte !== 0))
    throw corruptRecord(name, 'is filled up with something else than zeros')
  return plain.subarray(LENGTH_BYTES, end)
}

function cipherInput(
  metadataKey: Uint8Array,
  header: Uint8Array,
  salt: Uint8Array,
  name: string,
): Parameters<typeof openAesGcm>[0] {
  const nameBytes = Buffer.from(name, 'ascii')
  return {
    key: deriveKey(metadataKey, salt, 'platter v1 one record'),
    nonce: NONCE,
    additionalData: Buffer.concat([header, salt, Uint8Array.of(nameBytes.length), nameBytes]),
  }
}
