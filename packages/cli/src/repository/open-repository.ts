import { LocalStore } from '@platter/fs-adapters'
import { type OpenOptions, Repository } from '@platter/repo'
import type { Call } from '../command-line/command.ts'

/** Opens the repository in a folder; what it warns of goes to the user. */
export async function openRepository(
  path: string,
  { io, report }: Pick<Call, 'io' | 'report'>,
  options: Pick<OpenOptions, 'codec'> = {},
): Promise<Repository> {
  return await Repository.open(new LocalStore(path), {
    ...options,
    signal: io.signal,
    onWarning: (warning) => report.warning(warning),
  })
}
