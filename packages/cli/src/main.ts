import type { Command } from './command-line/command.ts'
import { commandHelp, generalHelp } from './command-line/help.ts'
import { parseCommandLine } from './command-line/parse.ts'
import { backup } from './commands/backup.ts'
import { check } from './commands/check.ts'
import { clone } from './commands/clone.ts'
import { commit } from './commands/commit.ts'
import { diff } from './commands/diff.ts'
import { forget } from './commands/forget.ts'
import { info } from './commands/info.ts'
import { init } from './commands/init.ts'
import { keyAdd, keyChange, keyList, keyRemove } from './commands/key.ts'
import { pinAccept } from './commands/pin.ts'
import { prune } from './commands/prune.ts'
import { repair } from './commands/repair.ts'
import { restore } from './commands/restore.ts'
import { serve } from './commands/serve.ts'
import { show } from './commands/show.ts'
import { snapshots } from './commands/snapshots.ts'
import { stats } from './commands/stats.ts'
import { ExitCode } from './exit-code.ts'
import type { CommandIo } from './io.ts'
import { failureOf } from './output/failure.ts'
import { Report } from './output/report.ts'
import { VERSION } from './version.ts'

/** In the order in which someone meets them. */
const COMMANDS: readonly Command[] = [
  init,
  info,
  backup,
  snapshots,
  show,
  restore,
  clone,
  serve,
  commit,
  check,
  repair,
  diff,
  forget,
  prune,
  stats,
  keyList,
  keyAdd,
  keyChange,
  keyRemove,
  pinAccept,
]

/**
 * Runs one command line, without the program's name, and says how it ended; never throws.
 *
 * ```ts
 * process.exitCode = await main(['snapshots', '/backups/lab', '--json'], io)
 * ```
 */
export async function main(argv: readonly string[], io: CommandIo): Promise<ExitCode> {
  // Until the command line is understood, the user's wish for JSON can only be guessed.
  let report = new Report(io, { json: argv.includes('--json'), quiet: false, progress: false })
  let command: Command | undefined
  try {
    const invocation = parseCommandLine(argv, COMMANDS)
    if (invocation.kind === 'version') {
      io.stdout.write(report.json ? `${JSON.stringify({ version: VERSION })}\n` : `platter ${VERSION}\n`)
      return ExitCode.done
    }
    if (invocation.kind === 'help') {
      const topic = invocation.command
      io.stdout.write(topic === undefined ? generalHelp(COMMANDS) : commandHelp(topic))
      return ExitCode.done
    }
    const { operands, options } = invocation
    command = invocation.command
    const quiet = options.has('quiet')
    const progress = !quiet && !options.has('no-progress')
    report = new Report(io, { json: options.has('json'), quiet, progress })
    return await command.run({ operands, options, io, report })
  } catch (error) {
    const failure = failureOf(error, io, command?.whenInterrupted)
    report.error(failure)
    return failure.exitCode
  }
}
