import { openDisk, type SourceWarning } from '@platter/fs-adapters'
import type { BackupOptions, Repository } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { backupProgress, backupRecord, backupSummary, badRanges } from '../output/backup-report.ts'
import { readChangeList } from '../repository/change-list.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'
import { assertSourceOutside } from '../repository/placement.ts'

export const backup: Command = {
  name: 'backup',
  summary: 'Back a disk, an image file or a stream up into a repository.',
  operands: ['REPO', 'SOURCE'],
  options: {
    name: {
      kind: 'value',
      placeholder: 'NAME',
      help: 'What the image is called across backups, such as web-01/sda.',
    },
    tag: {
      kind: 'value',
      placeholder: 'TAG',
      repeatable: true,
      help: 'A word to find the snapshot by; repeatable.',
    },
    host: { kind: 'value', placeholder: 'HOST', help: 'Where the image comes from (default: this machine).' },
    'on-read-error': {
      kind: 'value',
      choices: ['stop', 'record'],
      help: 'Stop at a read error (the default), or keep zeros and a list of the places.',
    },
    exact: {
      kind: 'flag',
      help: 'Keep everything, also what filesystems do not use (default: leave that out).',
    },
    'changed-since': {
      kind: 'value',
      placeholder: 'SNAPSHOT',
      help: 'Read only what --changes names, and take the rest over from this snapshot of the same disk.',
    },
    changes: {
      kind: 'value',
      placeholder: 'FILE',
      help: 'What changed since: an offset and a length a line, or the JSON of nbdinfo --map.',
    },
    codec: {
      kind: 'value',
      choices: ['auto', 'none', 'lz4', 'zstd'],
      help: 'How new data is compressed (default: auto, the best this Node has).',
    },
    ...KEY_OPTIONS,
  },
  notes:
    'SOURCE is only read. What its filesystems say is free, and swap space, is left out\n' +
    'and restored as zeros; where that is not beyond doubt, everything is read.\n' +
    'A backup counts when it is complete: one that fails or is interrupted leaves the\n' +
    'repository as it was. Exit code 3 says that the snapshot was made but parts of the\n' +
    'source were unreadable.',

  whenInterrupted: 'No snapshot was made. The snapshots made before are untouched.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const [repositoryPath, sourcePath] = operands as [string, string]
    if (sourcePath === '-' && io.stdin.isTTY) {
      throw new UsageError('SOURCE - reads standard input, and that is a terminal.', 'Pipe an image into it.')
    }
    const workers = options.workers()
    await assertSourceOutside(sourcePath, repositoryPath)
    await using repository = await openRepository(repositoryPath, call, codecOption(options))
    const warnings: SourceWarning[] = []
    await using source = await openDisk(sourcePath, {
      policy: options.has('exact') ? 'exact' : 'used',
      signal: io.signal,
      onWarning: (warning) => {
        warnings.push(warning)
        report.warning(warning)
      },
    })

    const snapshot = await repository.backup(source, {
      ...workers,
      ...naming(options, sourcePath),
      ...changedSince(options),
      onReadError: options.text('on-read-error') === 'record' ? 'record' : 'stop',
      signal: io.signal,
      onProgress: (progress) => report.progress(backupProgress(progress), { command: 'backup', ...progress }),
    })
    report.result(backupRecord(snapshot, warnings), backupSummary(snapshot), snapshot.id)
    return badRanges(snapshot).length > 0 ? ExitCode.findings : ExitCode.done
  },
}

function changedSince(options: OptionValues): Pick<BackupOptions, 'changedSince'> {
  const snapshot = options.text('changed-since')
  const path = options.text('changes')
  if ((snapshot === undefined) !== (path === undefined))
    throw new UsageError('--changed-since and --changes go together: a snapshot, and what changed since.')
  if (snapshot === undefined || path === undefined) return {}
  return { changedSince: { snapshot, extents: readChangeList(path) } }
}

function codecOption(options: OptionValues): Parameters<typeof openRepository>[2] {
  const codec = options.text('codec')
  return codec === 'auto' || codec === 'none' || codec === 'lz4' || codec === 'zstd' ? { codec } : {}
}

function naming(options: OptionValues, sourcePath: string): NonNullable<Parameters<Repository['backup']>[1]> {
  // '-' says nothing in a list of snapshots.
  const name = options.text('name') ?? (sourcePath === '-' ? 'stdin' : undefined)
  const host = options.text('host')
  return {
    ...(name === undefined ? {} : { name }),
    ...(host === undefined ? {} : { host }),
    tags: options.texts('tag'),
  }
}
