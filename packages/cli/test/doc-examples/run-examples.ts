// Runs examples one after the other, each in a folder of its own, and prints what came of each:
//   node run-examples.js '[{ "file": FILE, "folder": FOLDER }]'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'

/** What is printed of each example, as a line of JSON. */
export interface Ran {
  readonly file: string
  readonly lines: readonly string[]
  /** What it threw. */
  readonly error?: string
}

const runs = JSON.parse(process.argv[2] ?? '[]') as { readonly file: string; readonly folder: string }[]
let lines: string[] = []
const note = (...values: readonly unknown[]): void => {
  lines.push(values.map((value) => (typeof value === 'string' ? value : inspect(value))).join(' '))
}
Object.assign(console, { log: note, warn: note, error: note })

for (const { file, folder } of runs) {
  lines = []
  process.chdir(folder)
  const error = await import(pathToFileURL(file).href).then(
    () => undefined,
    (thrown: unknown) => inspect(thrown),
  )
  const ran: Ran = { file, lines, ...(error === undefined ? {} : { error }) }
  process.stdout.write(`${JSON.stringify(ran)}\n`)
}
