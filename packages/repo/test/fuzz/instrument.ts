import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { COVERAGE_GLOBAL, MAX_BRANCHES } from './coverage.ts'

const PACKAGES = fileURLToPath(new URL('../../../..', import.meta.url)).concat('packages')

/**
 * Writes copies of all parsers that note each branch they take, and an index of them, for coverage-hooks.ts.
 *
 * Every block, every side of `? :`, every right side of `&&`, `||` and `??`, every case and every short function is a
 * branch. Its counter costs one load and one jump once it was taken.
 *
 * @returns how many branches there are.
 */
export async function instrumentParsers(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true })
  const files = [...(await ownFiles()), ...libraryFiles()]
  const index: Record<string, string> = {}
  const branches = { count: 0 }
  for (const [number, file] of files.entries()) {
    const copy = join(folder, `${number}.mjs`)
    await writeFile(copy, instrumented(await readFile(file, 'utf8'), branches))
    index[pathToFileURL(file).href] = copy
  }
  await writeFile(join(folder, 'index.json'), JSON.stringify(index))
  if (branches.count > MAX_BRANCHES) throw new Error(`There are ${branches.count} branches.`)
  return branches.count
}

/** Built code of all packages but fast-cdc, whose kernels parse nothing. */
async function ownFiles(): Promise<string[]> {
  const files: string[] = []
  for (const name of ['core', 'repo', 'fs-adapters', 'cli']) {
    const entries = await readdir(join(PACKAGES, name, 'dist'), { recursive: true, withFileTypes: true })
    for (const entry of entries)
      if (entry.isFile() && entry.name.endsWith('.js')) files.push(join(entry.parentPath, entry.name))
  }
  return files.sort()
}

/** Parsers of others, as `core` loads them. */
function libraryFiles(): string[] {
  const require = createRequire(join(PACKAGES, 'core', 'package.json'))
  const msgpackr = join(dirname(require.resolve('msgpackr')), '..', 'unpack.js')
  return [msgpackr]
}

function instrumented(source: string, branches: { count: number }): string {
  const file = ts.createSourceFile('module.js', source, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS)
  const { transformed } = ts.transform(file, [transformerFor(branches)])
  const prelude = `const { seen: $seen, first: $first } = globalThis.${COVERAGE_GLOBAL};`
  return `${prelude}\n${ts.createPrinter().printFile(transformed[0]!)}`
}

function transformerFor(branches: { count: number }): ts.TransformerFactory<ts.SourceFile> {
  const { factory } = ts
  /** `$seen[n] || $first(n)` */
  const mark = (): ts.Expression => {
    const number = factory.createNumericLiteral(branches.count++)
    return factory.createLogicalOr(
      factory.createElementAccessExpression(factory.createIdentifier('$seen'), number),
      factory.createCallExpression(factory.createIdentifier('$first'), undefined, [number]),
    )
  }
  const marked = (value: ts.Expression): ts.Expression =>
    factory.createParenthesizedExpression(
      factory.createComma(factory.createParenthesizedExpression(mark()), value),
    )
  const statement = (): ts.Statement => factory.createExpressionStatement(mark())
  const block = (body: ts.Statement): ts.Block =>
    factory.createBlock(ts.isBlock(body) ? body.statements : [statement(), body], true)

  return (context) => {
    const visit = (node: ts.Node): ts.Node => marking(ts.visitEachChild(node, visit, context))
    const marking = (node: ts.Node): ts.Node => {
      if (ts.isBlock(node)) return factory.updateBlock(node, [statement(), ...node.statements])
      if (ts.isIfStatement(node)) {
        const { expression, thenStatement, elseStatement } = node
        return factory.updateIfStatement(
          node,
          expression,
          block(thenStatement),
          elseStatement === undefined ? undefined : block(elseStatement),
        )
      }
      if (ts.isConditionalExpression(node)) {
        const { condition, questionToken, whenTrue, colonToken, whenFalse } = node
        return factory.updateConditionalExpression(
          node,
          condition,
          questionToken,
          marked(whenTrue),
          colonToken,
          marked(whenFalse),
        )
      }
      if (ts.isBinaryExpression(node) && SHORT_CIRCUITS.has(node.operatorToken.kind))
        return factory.updateBinaryExpression(node, node.left, node.operatorToken, marked(node.right))
      if (ts.isCaseClause(node))
        return factory.updateCaseClause(node, node.expression, [statement(), ...node.statements])
      if (ts.isDefaultClause(node))
        return factory.updateDefaultClause(node, [statement(), ...node.statements])
      return node
    }
    return (file) => ts.visitEachChild(file, visit, context)
  }
}

const SHORT_CIRCUITS: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
])
