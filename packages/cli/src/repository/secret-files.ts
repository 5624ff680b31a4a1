import { open } from 'node:fs/promises'
import { PlatterError, systemCodeOf } from '@platter/core'
import type { Warning } from '../output/report.ts'

/** More than any passphrase or key file has. */
const MAX_BYTES = 64 * 1024

/**
 * The passphrase in a file: text in UTF-8, without the one line end that editors put behind it.
 *
 * @throws ERR_INVALID_ARGUMENT when it cannot be read or is no text.
 */
export async function readPassphraseFile(path: string, warn: (warning: Warning) => void): Promise<string> {
  const bytes = await readSecretFile(path, warn)
  try {
    return passphraseIn(bytes)
  } catch (cause) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The passphrase file '${path}' is not text in UTF-8. For a key file there is --key-file.`,
      { path, cause },
    )
  } finally {
    bytes.fill(0)
  }
}

/** @throws TypeError when the bytes are no text in UTF-8. */
export function passphraseIn(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\r?\n$/, '')
}

/** The content of a key file or passphrase file. @throws ERR_INVALID_ARGUMENT when it cannot be read. */
export async function readSecretFile(path: string, warn: (warning: Warning) => void): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r')
    const stat = await file.stat()
    if (stat.isFile() && process.platform !== 'win32' && (stat.mode & 0o004) !== 0) {
      warn({
        code: 'WARN_FILE_READABLE',
        message: `Every user of this machine can read '${path}'. chmod 600 leaves it to you.`,
      })
    }
    const bytes = new Uint8Array(MAX_BYTES + 1)
    let length = 0
    for (let got = 1; got > 0 && length < bytes.length; length += got)
      got = (await file.read(bytes, length, bytes.length - length, null)).bytesRead
    if (length <= MAX_BYTES) return bytes.subarray(0, length)
  } catch (cause) {
    const why = systemCodeOf(cause)
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The file '${path}' cannot be read${why === undefined ? '' : ` (${why})`}.`,
      { path, cause },
    )
  }
  throw new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `The file '${path}' has more than ${MAX_BYTES} bytes; no passphrase or key is that long.`,
    { path },
  )
}
