import { createCipheriv, createDecipheriv } from 'node:crypto'
import { assert } from '../errors.ts'

/** Length of a key of AES-256. */
export const AES_KEY_BYTES = 32
/** Length of a nonce. No nonce may ever be used twice with the same key. */
export const AES_GCM_NONCE_BYTES = 12
/** Bytes that what is sealed is longer than the plaintext: the tag at its end. */
export const AES_GCM_TAG_BYTES = 16

const ALGORITHM = 'aes-256-gcm'
const OPTIONS = { authTagLength: AES_GCM_TAG_BYTES } as const

/** What one call of AES-256-GCM works with besides the bytes themselves. */
export interface AesGcmInput {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** 12 bytes, never used before with this key. */
  readonly nonce: Uint8Array
  /** What is authenticated along with the bytes, but not encrypted. */
  readonly additionalData: Uint8Array
}

/**
 * Encrypts and authenticates bytes straight into memory of the caller: ciphertext and then a tag of 16 bytes, which
 * together are {@link AES_GCM_TAG_BYTES} longer than `plain`.
 *
 * Source: NIST SP 800-38D, with nonces of 96 bits and tags of 128.
 */
export function sealAesGcmInto(into: Uint8Array, at: number, input: AesGcmInput, plain: Uint8Array): void {
  const { key, nonce, additionalData } = input
  assert(nonce.length === AES_GCM_NONCE_BYTES, 'a nonce has another length than 12')
  const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS)
  cipher.setAAD(additionalData)
  into.set(cipher.update(plain), at)
  cipher.final()
  into.set(cipher.getAuthTag(), at + plain.length)
}

/** Encrypts and authenticates bytes into memory of their own: ciphertext and tag. */
export function sealAesGcm(input: AesGcmInput, plain: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(plain.length + AES_GCM_TAG_BYTES)
  sealAesGcmInto(sealed, 0, input, plain)
  return sealed
}

/**
 * Undoes {@link sealAesGcm}: the plaintext in memory of its own, or undefined unless every bit of the sealed bytes
 * and of the additional data is as it was. Nothing of the plaintext is given before that is known.
 */
export function openAesGcm(input: AesGcmInput, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < AES_GCM_TAG_BYTES) return undefined
  const { key, nonce, additionalData } = input
  assert(nonce.length === AES_GCM_NONCE_BYTES, 'a nonce has another length than 12')
  const tagAt = sealed.length - AES_GCM_TAG_BYTES
  const decipher = createDecipheriv(ALGORITHM, key, nonce, OPTIONS)
  decipher.setAuthTag(sealed.subarray(tagAt))
  decipher.setAAD(additionalData)
  const plain = decipher.update(sealed.subarray(0, tagAt))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  // Not a Buffer, whose slice() would share its memory where that of other bytes copies.
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
}
