import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Edit, Mutant } from './mutant.ts'

const PACKAGE = fileURLToPath(new URL('../../', import.meta.url))
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

/** Built packages and tests in a temporary folder, where one of the built files is another. */
export interface MutatedCopy extends AsyncDisposable {
  /** Path of a built test in it. */
  readonly testFile: (name: string) => string
  /** Goes with the copy. */
  readonly temporaryFolder: string
}

/** @param mutant absent for a copy that is as it was. */
export async function makeCopy(mutant?: Mutant): Promise<MutatedCopy> {
  const folder = await mkdtemp(join(tmpdir(), 'platter-mutant-'))
  const copy = join(folder, 'packages', 'repo')
  const temporaryFolder = join(folder, 'tmp')
  await mkdir(copy, { recursive: true })
  await mkdir(temporaryFolder)
  const filter = (path: string): boolean => !/(\.d\.ts|\.map)$/.test(path)
  for (const name of ['package.json', 'dist', 'dist-test'])
    await cp(join(PACKAGE, name), join(copy, name), { recursive: true, filter })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  await symlink(join(PACKAGE, 'node_modules'), join(copy, 'node_modules'), 'junction')
  for (const edit of mutant?.edits ?? []) {
    const path = join(copy, 'dist', edit.file)
    await writeFile(path, edited(await readFile(path, 'utf8'), edit))
  }
  return {
    testFile: (name) => join(copy, 'dist-test', name),
    temporaryFolder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

/**
 * Makes sure that every edit of a mutant fits the built code, and that the test is there that is to notice.
 *
 * @throws Error when a place is gone, or not the only one, or the test is gone.
 */
export async function assertFits({ edits, ground }: Mutant): Promise<void> {
  const texts = new Map<string, string>()
  for (const edit of edits) {
    const path = join(PACKAGE, 'dist', edit.file)
    texts.set(path, edited(texts.get(path) ?? (await readFile(path, 'utf8')), edit))
  }
  if (ground === undefined || !('test' in ground)) return
  const test = await readFile(join(PACKAGE, 'dist-test', ground.test), 'utf8')
  if (ground.title !== undefined && !test.includes(`test('${ground.title}',`))
    throw new Error(`${ground.test} has no test '${ground.title}'.`)
}

function edited(text: string, { file, find, replace, imports }: Edit): string {
  const words = find.trim().split(/\s+/)
  const pattern = words.map(literally).join('\\s+')
  const places = [...text.matchAll(new RegExp(pattern, 'g'))].length
  if (places !== 1) throw new Error(`${places} places of ${file} are like this, not 1: ${find}`)
  const changed = text.replace(new RegExp(pattern), () => replace)
  return imports === undefined ? changed : `${imports}\n${changed}`
}

/** A regular expression for just this text. */
export function literally(text: string): string {
  return text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')
}
