import { imageSource, Overlay } from '@platter/fs-adapters'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { backupProgress, backupRecord, backupSummary } from '../output/backup-report.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const commit: Command = {
  name: 'commit',
  summary: 'Make an overlay that was written to (see serve) a snapshot of its own.',
  operands: ['REPO', 'OVERLAY'],
  options: {
    name: {
      kind: 'value',
      placeholder: 'NAME',
      help: "What the image is called (default: the base's name).",
    },
    tag: {
      kind: 'value',
      placeholder: 'TAG',
      repeatable: true,
      help: 'A word to find the snapshot by; repeatable.',
    },
    ...KEY_OPTIONS,
  },
  notes:
    'The overlay must not be in use. It stays as it is; remove it when it is not needed any more.\n' +
    'The snapshot it lies over must still be there.',

  whenInterrupted: 'No snapshot was made. The overlay and the snapshots made before are untouched.',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const [repositoryPath, overlayPath] = operands as [string, string]
    const workers = options.workers()
    const baseId = await Overlay.baseOf(overlayPath)
    await using repository = await openRepository(repositoryPath, call)
    const base = await repository.snapshot(baseId)
    await using image = await repository.openImage(base.id, { signal: io.signal })
    await using overlay = await Overlay.open(overlayPath, image, { base: base.id })
    const sectors = base.volumes[0]?.source
    await using source = imageSource(overlay, {
      label: overlayPath,
      ...(sectors === undefined
        ? {}
        : {
            logicalSectorBytes: sectors.logicalSectorBytes,
            physicalSectorBytes: sectors.physicalSectorBytes,
          }),
    })
    const snapshot = await repository.backup(source, {
      ...workers,
      name: options.text('name') ?? base.name,
      host: base.host,
      tags: options.texts('tag'),
      signal: io.signal,
      onProgress: (progress) => report.progress(backupProgress(progress), { command: 'commit', ...progress }),
    })
    report.result({ ...backupRecord(snapshot, []), base: base.id }, backupSummary(snapshot), snapshot.id)
    return ExitCode.done
  },
}
