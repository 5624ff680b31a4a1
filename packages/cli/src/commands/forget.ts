import type { Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import { ExitCode } from '../exit-code.ts'
import { formatItems } from '../format/amounts.ts'
import { snapshotTable } from '../format/snapshot-text.ts'
import { openRepository } from '../repository/open-repository.ts'

export const forget: Command = {
  name: 'forget',
  summary: 'Take snapshots off the list.',
  operands: ['REPO', 'SNAPSHOT...'],
  options: {},
  notes: 'The space that only they needed is freed by platter prune.',

  async run(call: Call): Promise<ExitCode> {
    const { io, report } = call
    const [repositoryPath, ...references] = call.operands as [string, ...string[]]
    await using repository = await openRepository(repositoryPath, call)

    // All are looked up first: a slip in the last must not cost the others, and `latest` moves with each.
    const chosen = new Map<string, Snapshot>()
    for (const reference of references) {
      const snapshot = await repository.snapshot(reference)
      chosen.set(snapshot.id, snapshot)
    }
    for (const id of chosen.keys()) {
      io.signal.throwIfAborted()
      await repository.forget(id)
    }
    const forgotten = [...chosen.values()]
    report.result(
      { forgotten: forgotten.map(({ id, name, host, time }) => ({ id, name, host, time })) },
      `${snapshotTable(forgotten)}\nForgot ${formatItems(forgotten.length, 'snapshot')}.`,
      [...chosen.keys()].join('\n'),
    )
    return ExitCode.done
  },
}
