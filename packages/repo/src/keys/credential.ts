import { PlatterError } from '@platter/core'
import { MAX_KEY_FILE_BYTES, MAX_PASSPHRASE_BYTES, MIN_KEY_FILE_BYTES } from '../format/limits.ts'

/** A passphrase: text, its bytes in UTF-8, or a function that asks for it when it is needed. */
export type PassphraseInput = string | Uint8Array | (() => string | Uint8Array | Promise<string | Uint8Array>)

/** The content of a key file: at least 32 bytes that nobody can guess. Or a function that gets it when it is needed. */
export type KeyFileInput = Uint8Array | (() => Uint8Array | Promise<Uint8Array>)

/** What opens an encrypted repository: one of the two, not both. */
export interface Credentials {
  /**
   * Text is brought into Unicode form NFKC before use, so that it does not matter how a keyboard or system composes
   * its letters. Bytes are used as they are. An empty passphrase is refused.
   */
  readonly passphrase?: PassphraseInput
  /** Content of a key file, 32 bytes to 64 KiB. */
  readonly keyFile?: KeyFileInput
}

/** A credential in memory of its own, which its owner fills with zeros after use. */
export interface Credential {
  readonly kind: 'passphrase' | 'key-file'
  readonly bytes: Uint8Array
}

/** Whether there is any credential among the options. */
export function hasCredentials({ passphrase, keyFile }: Credentials): boolean {
  return passphrase !== undefined || keyFile !== undefined
}

/**
 * Gets the credential that a caller gave, or asks for it.
 *
 * @throws ERR_KEY_REQUIRED when there is none; ERR_INVALID_ARGUMENT when there are two, or it is empty or too long;
 * and what the caller's function throws.
 */
export async function readCredential(given: Credentials): Promise<Credential> {
  const { passphrase, keyFile } = given
  if (passphrase !== undefined && keyFile !== undefined)
    throw new PlatterError('ERR_INVALID_ARGUMENT', 'Give a passphrase or a key file, not both.')
  if (passphrase !== undefined) {
    const value = typeof passphrase === 'function' ? await passphrase() : passphrase
    return { kind: 'passphrase', bytes: passphraseBytes(value) }
  }
  if (keyFile === undefined) {
    throw new PlatterError(
      'ERR_KEY_REQUIRED',
      'The repository is encrypted: a passphrase or a key file is needed.',
    )
  }
  const content = typeof keyFile === 'function' ? await keyFile() : keyFile
  const fits =
    content instanceof Uint8Array &&
    content.length >= MIN_KEY_FILE_BYTES &&
    content.length <= MAX_KEY_FILE_BYTES
  if (!fits) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `A key file has ${MIN_KEY_FILE_BYTES} to ${MAX_KEY_FILE_BYTES} bytes.`,
    )
  }
  return { kind: 'key-file', bytes: new Uint8Array(content) }
}

function passphraseBytes(value: unknown): Uint8Array {
  if (typeof value !== 'string' && !(value instanceof Uint8Array))
    throw new PlatterError('ERR_INVALID_ARGUMENT', 'A passphrase is text or bytes.')
  const bytes =
    typeof value === 'string' ? new TextEncoder().encode(value.normalize('NFKC')) : new Uint8Array(value)
  if (bytes.length === 0 || bytes.length > MAX_PASSPHRASE_BYTES) {
    bytes.fill(0)
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      bytes.length === 0 ? 'A passphrase must not be empty.' : 'The passphrase is too long.',
    )
  }
  return bytes
}
