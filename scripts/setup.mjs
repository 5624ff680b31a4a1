// Makes a fresh clone ready: installs what the lockfile names and builds all packages. Needs Node and npm only.
// Run again it does what is missing, in a second or two.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
/** pnpm is fetched by npx, so nobody has to have it. */
const PNPM = 'pnpm@12.21.0'
const LEAST_NODE = [20, 19]
const MARKER = join(ROOT, 'node_modules', '.platter-installed')

/** Installs and builds. @throws Error when Node is too old or a step fails. */
export async function setup() {
  assertNode()
  await install()
  await run('Building', process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-b'])
}

/** Runs a program in the project's folder, its output shown only when it fails. */
async function run(what, command, args) {
  const shown = process.stderr.isTTY === true
  if (shown) process.stderr.write(`${what} …`)
  const { code, output } = await collect(command, args)
  if (shown) process.stderr.write('\r\u001b[K')
  if (code !== 0) throw new Error(`${what} failed (exit code ${code}):\n${output}`)
}

async function install() {
  const wanted = await lockfileHash()
  const installed = await readFile(MARKER, 'utf8').catch(() => '')
  if (installed === wanted) return
  await run('Installing', 'npx', ['--yes', PNPM, 'install', '--frozen-lockfile'])
  await writeFile(MARKER, wanted)
}

async function lockfileHash() {
  const hash = createHash('sha256')
  for (const name of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json'])
    hash.update(await readFile(join(ROOT, name)))
  return hash.digest('hex')
}

function assertNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1])) return
  throw new Error(`Platter needs Node ${LEAST_NODE.join('.')} or later; this is ${process.version}.`)
}

function collect(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      shell: process.platform === 'win32',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (piece) => {
        output += piece
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup()
