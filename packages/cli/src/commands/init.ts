import type { RepositoryId } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { type Credentials, Repository } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { kdfOption } from '../io.ts'
import { chunkerOption } from '../repository/chunker-presets.ts'
import { firstCredentials, KEY_OPTIONS } from '../repository/credentials.ts'
import { assertEmptyOrRepository, missingFolders, removeEmptyFolders } from '../repository/new-folder.ts'
import { givenPin } from '../repository/pin.ts'

export const init: Command = {
  name: 'init',
  summary: 'Create a repository in a folder.',
  operands: ['REPO'],
  options: {
    ...KEY_OPTIONS,
    'no-encryption': { kind: 'flag', help: 'Store the images readable by anyone who can read the folder.' },
    chunker: {
      kind: 'value',
      choices: ['aligned', 'fastcdc', 'fixed'],
      help: 'How images are cut into chunks; aligned (the default) suits disks.',
    },
  },
  notes:
    'The folder, and those above it, are created if they are missing. The repository is encrypted; without its\n' +
    'passphrase or key file nobody can read the images, nor can you. Keep a copy of it somewhere else.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const path = operands[0]!
    const isPlain = options.has('no-encryption')
    if (isPlain && (options.has('passphrase-file') || options.has('key-file')))
      throw new UsageError('With --no-encryption there is no passphrase and no key file.')
    await assertEmptyOrRepository(path)
    const credentials = isPlain ? {} : await firstCredentials(call, path)
    const id = await create(path, isPlain, { ...credentials, ...kdfOption(io) }, options.text('chunker'))
    io.signal.throwIfAborted()

    const pin = givenPin(call)
    await using repository = await Repository.open(new LocalStore(path), {
      ...credentials,
      ...(pin === undefined ? {} : { pin }),
      signal: io.signal,
    })
    const { chunker, crypto } = repository
    report.result(
      { repository: id, path, chunker, encryption: crypto },
      `Created repository ${id} in ${path}, ${isPlain ? 'without encryption' : 'encrypted'}.`,
      id,
    )
    return ExitCode.done
  },
}

async function create(
  path: string,
  isPlain: boolean,
  keys: Credentials & ReturnType<typeof kdfOption>,
  chunker: string | undefined,
): Promise<RepositoryId> {
  const missing = await missingFolders(path)
  try {
    const store = await LocalStore.create(path)
    const crypto = isPlain ? 'none' : 'aes-256-gcm'
    return await Repository.init(store, { crypto, ...keys, ...chunkerOption(chunker) })
  } catch (error) {
    await removeEmptyFolders(missing)
    throw error
  }
}
