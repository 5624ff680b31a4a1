// A process that fuzzes within limits of memory and time, and prints lines of JSON. It is given one ChildSettings as JSON.
import { register } from 'node:module'
import type { ChildSettings } from './campaign.ts'
import { installCoverage } from './coverage.ts'

const settings = JSON.parse(process.argv[2] ?? '') as ChildSettings
if (settings.instrumented !== undefined) {
  installCoverage()
  register('./coverage-hooks.js', { parentURL: import.meta.url, data: settings.instrumented })
}
// Only now, so that everything gets the instrumented parsers.
const { runTargets } = await import('./run-targets.js')
await runTargets(settings)
