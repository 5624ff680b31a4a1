// `npm run bench -- [options]`: sets everything up and runs the benchmarks; see benchmarks/README.md.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setup } from './setup.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

await setup()
const child = spawn(process.execPath, [join(ROOT, 'benchmarks/dist/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
child.on('close', (code) => {
  process.exitCode = code ?? 1
})
