import { PlatterError } from '@platter/core'
import type { Credentials } from '@platter/repo'
import type { Call } from '../command-line/command.ts'
import type { OptionTable } from '../command-line/option-spec.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { readPassphraseFile, readSecretFile } from './secret-files.ts'

/** What every command takes that opens a repository. */
export const KEY_OPTIONS: OptionTable = {
  'passphrase-file': {
    kind: 'value',
    placeholder: 'FILE',
    help: 'Passphrase of the repository (default: $PLATTER_PASSPHRASE_FILE, or it is asked for).',
  },
  'key-file': { kind: 'value', placeholder: 'FILE', help: 'Key file of the repository.' },
  'pin-file': {
    kind: 'value',
    placeholder: 'FILE',
    help: 'Remember in FILE what was seen, and stop if the repository was set back (default: $PLATTER_PIN_FILE).',
  },
}

/** What a command takes that makes a key slot. */
export const NEW_KEY_OPTIONS: OptionTable = {
  'new-passphrase-file': {
    kind: 'value',
    placeholder: 'FILE',
    help: 'The new passphrase (default: it is asked for, twice).',
  },
  'new-key-file': { kind: 'value', placeholder: 'FILE', help: 'The new key file, 32 bytes or more.' },
  label: { kind: 'value', placeholder: 'TEXT', help: 'What the key slot is called in lists.' },
}

/** What a command takes that opens a second repository to read from. */
export const FROM_KEY_OPTIONS: OptionTable = {
  'from-passphrase-file': {
    kind: 'value',
    placeholder: 'FILE',
    help: 'Passphrase of the repository to read from (default: as of the other).',
  },
  'from-key-file': { kind: 'value', placeholder: 'FILE', help: 'Key file of the repository to read from.' },
}

type AskingCall = Pick<Call, 'options' | 'io' | 'report'>

/** The passphrase or key file that options and environment name; nothing when they name none. */
export async function givenCredentials(call: AskingCall): Promise<Credentials> {
  const { options, io } = call
  const named = await namedCredentials(call, 'passphrase-file', 'key-file')
  if (named !== undefined) return named
  const path = io.env.PLATTER_PASSPHRASE_FILE
  if (path === undefined || path === '' || options.has('no-encryption')) return {}
  return { passphrase: await readPassphraseFile(path, (warning) => call.report.warning(warning)) }
}

/** The same for a second repository to read from; where nothing names its own, what is given for the first. */
export async function fromCredentials(call: AskingCall): Promise<Credentials> {
  return (
    (await namedCredentials(call, 'from-passphrase-file', 'from-key-file')) ?? (await givenCredentials(call))
  )
}

/** Asks for the passphrase of a repository that turned out to need one. @throws ERR_KEY_REQUIRED without a terminal. */
export async function askForPassphrase({ io }: AskingCall, repository: string): Promise<Credentials> {
  if (io.askSecret === undefined) throw noTerminal(`The repository '${repository}' is encrypted`)
  return { passphrase: await io.askSecret(`Passphrase of ${repository}: `) }
}

/**
 * The passphrase or key file of a new repository: what options and environment name, or what is typed, twice.
 *
 * @throws ERR_KEY_REQUIRED, ERR_INVALID_ARGUMENT
 */
export async function firstCredentials(call: AskingCall, repository: string): Promise<Credentials> {
  const given = await givenCredentials(call)
  if (given.passphrase !== undefined || given.keyFile !== undefined) return given
  return await askTwice(call, `Passphrase for ${repository}: `, 'A new repository is encrypted')
}

/** The passphrase or key file of a new key slot. @throws ERR_KEY_REQUIRED, ERR_INVALID_ARGUMENT */
export async function newCredentials(call: AskingCall): Promise<Credentials> {
  const named = await namedCredentials(call, 'new-passphrase-file', 'new-key-file')
  return named ?? (await askTwice(call, 'New passphrase: ', 'A key slot needs a passphrase or a key file'))
}

async function namedCredentials(
  { options, report }: AskingCall,
  passphraseOption: string,
  keyOption: string,
): Promise<Credentials | undefined> {
  const passphrasePath = options.text(passphraseOption)
  const keyPath = options.text(keyOption)
  if (passphrasePath !== undefined && keyPath !== undefined)
    throw new UsageError(`--${passphraseOption} and --${keyOption} exclude each other.`)
  const warn = (warning: Parameters<typeof report.warning>[0]): void => report.warning(warning)
  if (passphrasePath !== undefined) return { passphrase: await readPassphraseFile(passphrasePath, warn) }
  if (keyPath !== undefined) return { keyFile: await readSecretFile(keyPath, warn) }
  return undefined
}

async function askTwice({ io }: AskingCall, prompt: string, why: string): Promise<Credentials> {
  if (io.askSecret === undefined) throw noTerminal(why)
  const passphrase = await io.askSecret(prompt)
  if (passphrase !== (await io.askSecret('The same again: ')))
    throw new PlatterError('ERR_INVALID_ARGUMENT', 'The two passphrases differ; nothing was done.')
  return { passphrase }
}

function noTerminal(why: string): PlatterError {
  return new PlatterError(
    'ERR_KEY_REQUIRED',
    `${why}, and there is no terminal to ask for a passphrase; name a file that holds it.`,
  )
}
