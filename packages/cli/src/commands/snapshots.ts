import type { Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { snapshotTable, withDamage } from '../format/snapshot-text.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

export const snapshots: Command = {
  name: 'snapshots',
  summary: 'List the snapshots, oldest first.',
  operands: ['REPO'],
  options: {
    name: { kind: 'value', placeholder: 'NAME', help: 'Only those of this image.' },
    host: { kind: 'value', placeholder: 'HOST', help: 'Only those from this machine.' },
    tag: { kind: 'value', placeholder: 'TAG', help: 'Only those with this tag.' },
    checkpoints: { kind: 'flag', help: 'Also what backups that are not finished have so far.' },
    ...KEY_OPTIONS,
  },

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    await using repository = await openRepository(operands[0]!, call)
    const given = ['name', 'host', 'tag'].filter((key) => options.has(key))
    const filter = {
      ...Object.fromEntries(given.map((key) => [key, options.text(key)!])),
      checkpoints: options.has('checkpoints'),
    }

    const found: Snapshot[] = []
    for await (const snapshot of repository.snapshots(filter)) {
      io.signal.throwIfAborted()
      found.push(snapshot)
    }
    const none = given.length === 0 ? 'The repository holds no snapshots.' : 'No snapshot fits.'
    const damaged = await repository.damagedSnapshots({ signal: io.signal })
    report.result(
      { snapshots: found.map((snapshot) => withDamage(snapshot, damaged)) },
      found.length === 0 ? none : snapshotTable(found, damaged),
      found.map(({ id }) => id).join('\n'),
    )
    return ExitCode.done
  },
}
