// `npm test`: sets everything up and runs all tests; `npm test -- FILE...` runs some. The last line is a summary.
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setup } from './setup.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)

await setup()
const tapManifest = require.resolve('tap/package.json')
const tap = join(dirname(tapManifest), require(tapManifest).bin.tap)
const args = [tap, '--reporter=tap', ...process.argv.slice(2)]
const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })

let counts = { passed: 0, failed: 0 }
let line = ''
child.stdout.on('data', (piece) => {
  process.stdout.write(piece)
  line += piece
  const lines = line.split('\n')
  line = lines.pop()
  for (const text of lines) counts = counted(counts, text)
})
child.on('close', (code) => {
  // A run that ended badly has a failure, even where none was printed.
  const failed = Math.max(counts.failed, code === 0 ? 0 : 1)
  console.log(`${counts.passed} passed, ${failed} failed`)
  process.exitCode = failed === 0 && counts.passed > 0 ? 0 : 1
})

/** Counts tests: the results one level below a file, each a named test of it. */
function counted({ passed, failed }, text) {
  const result = /^ {4}(not )?ok \d+ - (?!.*# (?:SKIP|TODO))/.exec(text)
  if (result === null) return { passed, failed }
  return result[1] === undefined ? { passed: passed + 1, failed } : { passed, failed: failed + 1 }
}
