#!/usr/bin/env node
import { isatty } from 'node:tty'
import { askSecret } from './ask-secret.ts'
import { ExitCode } from './exit-code.ts'
import { type CommandIo, Interruption, StreamOutput } from './io.ts'
import { main } from './main.ts'
import { failureOf } from './output/failure.ts'
import { Report } from './output/report.ts'

const argv = process.argv.slice(2)
const interruption = new AbortController()
const stdout = new StreamOutput(process.stdout)
const stderr = new StreamOutput(process.stderr)
const io: CommandIo = {
  stdin: { isTTY: isatty(0) },
  ...(isatty(0)
    ? { askSecret: (question) => askSecret(process.stdin, process.stderr, question, interruption.signal) }
    : {}),
  stdout,
  stderr,
  signal: interruption.signal,
  env: process.env,
  now: () => performance.now(),
}

// SIGHUP keeps its default: a handler would take away what nohup has set.
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    // The second time the user means at once.
    if (interruption.signal.aborted) process.exit(ExitCode.failed)
    interruption.abort(new Interruption(name))
  })
}
// Only a bug gets here; users see its message, not a stack trace.
process.on('uncaughtException', (error) => {
  const report = new Report(io, { json: argv.includes('--json'), quiet: true, progress: false })
  report.error(failureOf(error, io))
  process.exit(ExitCode.failed)
})

const code = await main(argv, io)
await stderr.drained()
// After an interruption nobody may be there any more to take the rest of an image, or to end standard input.
if (!interruption.signal.aborted) await stdout.drained()
process.exit(code)
