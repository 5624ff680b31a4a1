// The TypeScript in the documents, taken out of them and compiled as a user's program.
import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))
const TSC = createRequire(import.meta.url).resolve('typescript/bin/tsc')
/** As docs/embedding.md promises, and the settings that come with it. */
const STRICT = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable']

/** A block of TypeScript. */
export interface Example {
  /** Document, heading and number of the line, as a name for a file: `embedding-backup-127`. */
  readonly name: string
  readonly heading: string
  readonly code: string
}

/** All blocks of a document, named by its path in the repository. */
export async function examplesIn(document: string, prefix: string): Promise<Example[]> {
  const lines = (await readFile(join(ROOT, document), 'utf8')).split('\n')
  const examples: Example[] = []
  let heading = ''
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!
    if (line.startsWith('#')) heading = line.replace(/^#+ /, '')
    if (line !== '```ts') continue
    const end = lines.indexOf('```', at)
    const slug = heading.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
    examples.push({
      name: `${prefix}-${slug}-${at + 1}`,
      heading,
      code: `${lines.slice(at + 1, end).join('\n')}\n`,
    })
    at = end
  }
  return examples
}

/** Writes examples into a folder below a package that has all of Platter, and compiles them there. @throws what tsc says. */
export async function compileExamples(folder: string, examples: readonly Example[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const { name, code } of examples) await writeFile(join(folder, `${name}.ts`), code)
  const files = examples.map(({ name }) => `${name}.ts`)
  const { code, output } = await runNode(
    [TSC, ...STRICT, '--skipLibCheck', '--types', 'node', ...files],
    folder,
  )
  if (code !== 0) throw new Error(`The examples do not compile:\n${output}`)
}

/** Runs a program without the hooks that a test runner puts into its children: they take longer than the program. */
export async function runNode(
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], { cwd, stdio: 'pipe' })
  child.stdin.end()
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, output }
}
