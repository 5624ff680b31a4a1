import { AES_GCM_NONCE_BYTES, AES_GCM_TAG_BYTES, openAesGcm, sealAesGcm } from '../crypto/aes-gcm.ts'
import { deriveKey } from '../crypto/derive-key.ts'
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
/** Bytes an encrypted record is longer than its payload: header, salt and tag. */
export const ENCRYPTED_RECORD_OVERHEAD_BYTES: number =
  RECORD_HEADER_BYTES + RECORD_SALT_BYTES + AES_GCM_TAG_BYTES

/** Each key seals one record only, so its only nonce can be all zeros. */
const NONCE = new Uint8Array(AES_GCM_NONCE_BYTES)

/**
 * Records nobody can read, alter or exchange for one another without the metadata key: header, salt, ciphertext, tag.
 * Each has a key of its own, derived from its salt; name, type and length are authenticated (docs/format.md,
 * Sealed records). A record that is not encrypted is refused.
 *
 * @param metadataKey 32 bytes; kept, not copied, so that filling it with zeros ends all sealing and opening.
 */
export function encryptedRecords(metadataKey: Uint8Array, random: RandomSource = systemRandom): RecordSealer {
  return Object.freeze({
    suite: SUITE['aes-256-gcm'],
    seal(type: RecordType, name: string, payload: Uint8Array): Uint8Array[] {
      const header = recordHeader(type, SUITE['aes-256-gcm'], payload.length)
      const salt = random(RECORD_SALT_BYTES)
      return [header, salt, sealAesGcm(cipherInput(metadataKey, header, salt, name), payload)]
    },
    open(type: RecordType, name: string, bytes: Uint8Array): Uint8Array {
      if (bytes.length < ENCRYPTED_RECORD_OVERHEAD_BYTES) throw corruptRecord(name, 'is cut short')
      const header = bytes.subarray(0, RECORD_HEADER_BYTES)
      assertRecordMagic(header, name)
      if (suiteOfRecord(header) === SUITE.none)
        throw corruptRecord(name, 'is not encrypted, as everything in this repository is')
      const sealedAt = RECORD_HEADER_BYTES + RECORD_SALT_BYTES
      const salt = bytes.subarray(RECORD_HEADER_BYTES, sealedAt)
      const payload = openAesGcm(cipherInput(metadataKey, header, salt, name), bytes.subarray(sealedAt))
      if (payload === undefined) throw corruptRecord(name, 'was altered, or is not of this repository')
      assertRecordHeader(header, { type, suite: SUITE['aes-256-gcm'], payloadBytes: payload.length }, name)
      return payload
    },
  })
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
