// Holds the direction of imports between the packages: each may know what lies below it, and nothing else.
import { readdir, readFile } from 'node:fs/promises'
import { builtinModules } from 'node:module'
import { join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import ts from 'typescript'

const PACKAGES = fileURLToPath(new URL('../..', import.meta.url))

/** Folder of each package, and which packages of ours it may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'fast-cdc': [],
  core: ['fast-cdc'],
  repo: ['@platter/core'],
  'fs-adapters': ['@platter/core'],
  cli: ['fast-cdc', '@platter/core', '@platter/repo', '@platter/fs-adapters'],
}

interface Manifest {
  readonly name: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(PACKAGES, folder, 'package.json'), 'utf8')) as Manifest
}

/** What the sources of a package import: module, and the file that does. */
async function importsOf(folder: string): Promise<{ readonly module: string; readonly file: string }[]> {
  const source = join(PACKAGES, folder, 'src')
  const entries = await readdir(source, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  const imports = await Promise.all(
    files.map(async ({ parentPath, name }) => {
      const file = join(parentPath, name)
      const text = await readFile(file, 'utf8')
      const found = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName)
      const required = [...text.matchAll(/createRequire\(import\.meta\.url\)\(\s*'([^']+)'/g)].map(
        ([, module]) => module!,
      )
      return [...found, ...required].map((module) => ({ module, file }))
    }),
  )
  return imports.flat()
}

/** `@scope/name/path` without the path. */
function packageOf(module: string): string {
  return module
    .split('/')
    .slice(0, module.startsWith('@') ? 2 : 1)
    .join('/')
}

test('every package is held', async (t) => {
  const folders = await readdir(PACKAGES)
  t.same(folders.sort(), Object.keys(MAY_IMPORT).sort())
})

test('the scan finds imports of all forms', async (t) => {
  const modules = new Set((await importsOf('core')).map(({ module }) => module))
  for (const module of ['node:crypto', 'fast-cdc', 'msgpackr', 'lz4-napi', '../errors.ts'])
    t.ok(modules.has(module), module)
})

for (const [folder, allowed] of Object.entries(MAY_IMPORT)) {
  test(`${folder} imports ${allowed.join(', ') || 'nothing of ours'}`, async (t) => {
    const manifest = await manifestOf(folder)
    const ours = (await Promise.all(Object.keys(MAY_IMPORT).map(manifestOf))).map(({ name }) => name)
    const declared = [
      ...Object.keys(manifest.dependencies ?? {}),
      ...Object.keys(manifest.optionalDependencies ?? {}),
    ]
    t.same(
      declared.filter((name) => ours.includes(name) && !allowed.includes(name)),
      [],
      'dependencies',
    )

    const wrong: string[] = []
    const root = join(PACKAGES, folder)
    for (const { module, file } of await importsOf(folder)) {
      const where = relative(PACKAGES, file)
      if (module.startsWith('.')) {
        if (!resolve(file, '..', module).startsWith(root + sep)) wrong.push(`${where}: ${module}`)
      } else if (module.startsWith('node:')) {
        if (!builtinModules.includes(module.slice('node:'.length))) wrong.push(`${where}: ${module}`)
      } else {
        const name = packageOf(module)
        const isOurs = ours.includes(name)
        if (!declared.includes(name) || (isOurs && !allowed.includes(name))) wrong.push(`${where}: ${module}`)
      }
    }
    t.same(wrong, [], 'imports')
  })
}
