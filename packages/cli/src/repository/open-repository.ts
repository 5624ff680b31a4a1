import { PlatterError } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { type OpenOptions, Repository } from '@platter/repo'
import type { Call } from '../command-line/command.ts'
import { askForPassphrase, givenCredentials } from './credentials.ts'

/**
 * Opens the repository in a folder, with the passphrase or key file that options or environment name; without, it asks
 * for a passphrase where one is needed. What the repository warns of goes to the user.
 */
export async function openRepository(
  path: string,
  call: Pick<Call, 'io' | 'report' | 'options'>,
  options: Pick<OpenOptions, 'codec'> = {},
  credentialsOf: typeof givenCredentials = givenCredentials,
): Promise<Repository> {
  const { io, report } = call
  const open = async (credentials: Awaited<ReturnType<typeof givenCredentials>>): Promise<Repository> =>
    await Repository.open(new LocalStore(path), {
      ...options,
      ...credentials,
      signal: io.signal,
      onWarning: (warning) => report.warning(warning),
    })
  try {
    return await open(await credentialsOf(call))
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_KEY_REQUIRED')) throw error
    return await open(await askForPassphrase(call, path))
  }
}
