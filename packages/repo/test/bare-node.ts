/**
 * A command that runs Node without the hooks that a test runner puts into every child it sees: they take as long as a
 * short program does. `env` becomes the command, so the process id is that of Node.
 */
export function bareNode(...args: readonly string[]): [string, string[]] {
  if (process.platform === 'win32') return [process.execPath, [...args]]
  return ['env', ['-u', 'NODE_OPTIONS', process.execPath, ...args]]
}
