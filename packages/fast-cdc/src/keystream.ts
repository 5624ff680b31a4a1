import { createCipheriv } from 'node:crypto'
import { assertBytes } from './errors.ts'

/** Bytes in every secret key of this package. */
export const KEY_BYTES = 32

/**
 * Expands a 32-byte key to `lengthBytes` pseudo-random bytes: the AES-256-CTR keystream under the key, with an initial
 * counter block of `label` (8 ASCII characters) and eight zero bytes. The label keeps two uses of one key apart.
 *
 * @throws InvalidArgumentError when `key` is not 32 bytes
 */
export function expandKey(name: string, key: Uint8Array, label: string, lengthBytes: number): Uint8Array {
  assertBytes(name, key, KEY_BYTES)
  const counter = new Uint8Array(16)
  new TextEncoder().encodeInto(label, counter)
  return new Uint8Array(createCipheriv('aes-256-ctr', key, counter).update(new Uint8Array(lengthBytes)))
}
