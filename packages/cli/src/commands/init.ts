import { PlatterError, type RepositoryId } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { chunkerOption } from '../repository/chunker-presets.ts'
import { assertEmptyOrRepository, missingFolders, removeEmptyFolders } from '../repository/new-folder.ts'

export const init: Command = {
  name: 'init',
  summary: 'Create a repository in a folder.',
  operands: ['REPO'],
  options: {
    'no-encryption': { kind: 'flag', help: 'Store the images readable by anyone who can read the folder.' },
    chunker: {
      kind: 'value',
      choices: ['aligned', 'fastcdc', 'fixed'],
      help: 'How images are cut into chunks; aligned (the default) suits disks.',
    },
  },
  notes:
    'The folder, and those above it, are created if they are missing. Encryption is not available in this\n' +
    'version yet, and never left out silently: --no-encryption must be given.',

  async run({ operands, options, io, report }: Call): Promise<ExitCode> {
    const path = operands[0]!
    if (!options.has('no-encryption')) {
      throw new PlatterError(
        'ERR_ENCRYPTION_UNAVAILABLE',
        'Encryption is not available in this version yet, so no repository was created.',
      )
    }
    await assertEmptyOrRepository(path)
    const id = await create(path, options.text('chunker'))
    io.signal.throwIfAborted()

    await using repository = await Repository.open(new LocalStore(path), { signal: io.signal })
    const { chunker } = repository
    report.result(
      { repository: id, path, chunker, encryption: 'none' },
      `Created repository ${id} in ${path}, without encryption.`,
      id,
    )
    return ExitCode.done
  },
}

async function create(path: string, chunker: string | undefined): Promise<RepositoryId> {
  const missing = await missingFolders(path)
  try {
    const store = await LocalStore.create(path)
    return await Repository.init(store, { crypto: 'none', ...chunkerOption(chunker) })
  } catch (error) {
    await removeEmptyFolders(missing)
    throw error
  }
}
