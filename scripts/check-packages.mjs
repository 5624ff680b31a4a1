// Checks the packages as their users get them: packs each one, lints the tarballs, installs them with npm into an
// empty project, type-checks the README's example there under `strict`, and runs it.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setup } from './setup.mjs'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const PACKAGES = ['fast-cdc', 'core', 'repo', 'fs-adapters', 'cli']
const PNPM = 'pnpm@12.21.0'
const execute = promisify(execFile)

await setup()
const folder = await mkdtemp(join(tmpdir(), 'platter-packages-'))
try {
  const tarballs = []
  for (const name of PACKAGES) tarballs.push(await pack(name))
  for (const tarball of tarballs) await lint(tarball)
  await tryExample(tarballs)
  console.log(`${PACKAGES.length} packages are sound`)
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function pack(name) {
  const from = join(ROOT, 'packages', name)
  const { stdout } = await run('npx', ['--yes', PNPM, 'pack', '--json', '--pack-destination', folder], from)
  const { filename } = JSON.parse(stdout)
  console.log(`packed ${filename.slice(folder.length + 1)}`)
  return filename
}

async function lint(tarball) {
  await run(join(ROOT, 'node_modules/.bin/publint'), ['run', tarball, '--strict'], ROOT)
  await run(join(ROOT, 'node_modules/.bin/attw'), ['--profile', 'esm-only', tarball], ROOT)
}

async function tryExample(tarballs) {
  const project = join(folder, 'project')
  await mkdir(project)
  await writeFile(join(project, 'package.json'), '{ "name": "example", "private": true, "type": "module" }\n')
  await run('npm', ['install', '--no-audit', '--no-fund', ...tarballs], project)
  await writeFile(join(project, 'example.ts'), await readmeExample())
  await writeFile(join(project, 'disk.img'), Buffer.alloc(3 * 1024 * 1024 + 512, 'disk'))
  const types = join(ROOT, 'node_modules/@types')
  const options = [
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
  ]
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await run(
    process.execPath,
    [tsc, ...options, '--types', 'node', '--typeRoots', types, 'example.ts'],
    project,
  )
  const { stdout } = await run(process.execPath, ['example.js'], project)
  const [original, restored] = await Promise.all(
    ['disk.img', 'restored.img'].map((name) => readFile(join(project, name))),
  )
  if (!original.equals(restored)) throw new Error('The example restored another image than it backed up.')
  console.log(stdout.trim())
  await run(join(project, 'node_modules/.bin/platter'), ['--version'], project)
}

/** The first TypeScript block of the README. */
async function readmeExample() {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
  const block = /```ts\n([\s\S]*?)```/.exec(readme)
  if (block === null) throw new Error('README.md has no TypeScript example.')
  return block[1]
}

async function run(command, args, cwd) {
  try {
    return await execute(command, args, { cwd, maxBuffer: 64 * 1024 * 1024 })
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')} failed:\n${error.stdout}\n${error.stderr}`)
  }
}
