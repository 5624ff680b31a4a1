import { PlatterError } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { type Credentials, type OpenOptions, Repository } from '@platter/repo'
import type { Call } from '../command-line/command.ts'
import { askForPassphrase, fromCredentials, givenCredentials } from './credentials.ts'
import { givenPin } from './pin.ts'

type OpeningCall = Pick<Call, 'io' | 'report' | 'options'>

/**
 * Opens the repository in a folder, with the passphrase or key file that options or environment name; without, it asks
 * for a passphrase where one is needed. What the repository warns of goes to the user. Where a pin is named, the
 * repository is held to it.
 */
export async function openRepository(
  path: string,
  call: OpeningCall,
  options: Pick<OpenOptions, 'codec' | 'acceptRollback'> = {},
): Promise<Repository> {
  const pin = givenPin(call)
  const pinned = { ...options, ...(pin === undefined ? {} : { pin }) }
  return await openFolder(path, call, pinned, await givenCredentials(call))
}

/** Opens a second repository, to read from it, with the passphrase or key file for that one. */
export async function openSecondRepository(path: string, call: OpeningCall): Promise<Repository> {
  return await openFolder(path, call, {}, await fromCredentials(call))
}

async function openFolder(
  path: string,
  call: OpeningCall,
  options: OpenOptions,
  given: Credentials,
): Promise<Repository> {
  const { io, report } = call
  const open = async (credentials: Credentials): Promise<Repository> =>
    await Repository.open(new LocalStore(path), {
      ...options,
      ...credentials,
      signal: io.signal,
      onWarning: (warning) => report.warning(warning),
    })
  try {
    return await open(given)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_KEY_REQUIRED')) throw error
    return await open(await askForPassphrase(call, path))
  }
}
