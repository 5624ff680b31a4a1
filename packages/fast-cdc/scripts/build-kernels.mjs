// Compiles assembly/kernels.ts to WebAssembly and writes it, as base64, to src/kernels.generated.ts.
// With --check nothing is written: the exit code says whether the committed file is what the source builds.
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const packageDirectory = fileURLToPath(new URL('..', import.meta.url))
const target = fileURLToPath(new URL('../src/kernels.generated.ts', import.meta.url))
const source = 'assembly/kernels.ts'

const wasm = await compile()
const expected = render(wasm)
if (process.argv.includes('--check')) {
  const committed = await readFile(target, 'utf8').catch(() => '')
  if (committed !== expected) {
    console.error(
      `src/kernels.generated.ts is not what ${source} builds; run: node scripts/build-kernels.mjs`,
    )
    process.exitCode = 1
  }
} else {
  await writeFile(target, expected)
  console.log(`src/kernels.generated.ts: ${wasm.length} bytes of WebAssembly`)
}

async function compile() {
  let output
  const { error, stderr } = await asc.main(
    [
      source,
      ...['--baseDir', packageDirectory],
      ...['--outFile', 'kernels.wasm'],
      ...['-O3', '--enable', 'simd', '--runtime', 'stub'],
      ...['--importMemory', '--noExportMemory'],
    ],
    {
      writeFile: (_name, contents) => {
        output = contents
      },
    },
  )
  if (error || !output) throw new Error(`${source} does not compile\n${stderr.toString()}`, { cause: error })
  return output
}

function render(wasm) {
  const lines = Buffer.from(wasm)
    .toString('base64')
    .match(/.{1,100}/g)
  return [
    `// Built from ${source} by scripts/build-kernels.mjs. Do not edit.`,
    `export const KERNELS_BASE64: string =`,
    lines.map((line) => `  '${line}'`).join(' +\n'),
    '',
  ].join('\n')
}
