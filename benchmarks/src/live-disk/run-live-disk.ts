import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchOptions } from '../bench-options.ts'
import type { CorpusManifest } from '../corpus/corpus-manifest.ts'
import { makeCorpus } from '../corpus/make-corpus.ts'
import { findTool, runTool } from '../measure/tool.ts'
import { readMachineState } from '../report/machine-state.ts'
import { median } from '../report/statistics.ts'
import { chooseFolders } from '../scenarios/folders.ts'
import { PLATTER, serveSnapshot } from './served-snapshot.ts'

const RANDOM_READ_SECONDS = 10

/** A figure of each run. */
interface Row {
  readonly title: string
  readonly unit: string
  readonly values: number[]
}

/**
 * Measures a snapshot that is served as a live disk by what clients get of it: nbdcopy from beginning to end, fio with
 * random reads of 4 KiB over four connections, and qemu-img next to a restore. Returns Markdown.
 */
export async function runLiveDisk(options: BenchOptions, log: (message: string) => void): Promise<string> {
  for (const tool of ['nbdcopy', 'fio', 'qemu-img'])
    if ((await findTool(tool)) === undefined) throw new Error(`${tool} is not installed.`)
  const { corpusDir: folder, diskBytes, dataBytes } = options
  const corpus = await makeCorpus({ folder, diskBytes, dataBytes, onProgress: log })
  const { repoDir, targetDir } = await chooseFolders(options, {
    repoBytes: dataBytes,
    targetBytes: diskBytes,
  })
  const machine = readMachineState()
  const work = await mkdtemp(join(repoDir, 'platter-bench-live-'))
  const socketFolder = await mkdtemp(join(tmpdir(), 'pl-'))
  const target = join(targetDir, `platter-bench-live-${process.pid}.img`)
  try {
    const repo = join(work, 'repo')
    await platter(['init', repo, '--no-encryption'])
    await platter(['backup', repo, corpus.paths.A, '--name', 'disk', '--exact'])
    await platter(['backup', repo, corpus.packed, '--name', 'data', '--exact'])
    const rows = new Map<string, Row>()
    for (let run = 0; run < options.runs; run++)
      for await (const [title, unit, value] of measureOnce(repo, corpus, join(socketFolder, 's'), target)) {
        log(`${title}: ${value.toFixed(2)} ${unit}`)
        const row = rows.get(title) ?? { title, unit, values: [] }
        row.values.push(value)
        rows.set(title, row)
      }
    return markdown([...rows.values()], corpus, machine.load)
  } finally {
    for (const path of [work, socketFolder, target]) await rm(path, { recursive: true, force: true })
  }
}

type Figure = readonly [title: string, unit: string, value: number]

async function* measureOnce(
  repo: string,
  corpus: CorpusManifest,
  socket: string,
  target: string,
): AsyncGenerator<Figure> {
  const data = await serveSnapshot(repo, 'latest:data', socket)
  try {
    // Twice, since the first reading finds workers and caches cold.
    for (const title of ['nbdcopy to nowhere, first', 'nbdcopy to nowhere, again'])
      yield [title, 'MB/s', corpus.packedBytes / 1e6 / (await seconds('nbdcopy', [data.uri, 'null:']))]
    yield [
      'random reads of 4 KiB, 4 connections, where there is data',
      'per second',
      await randomReads(data.uri),
    ]
  } finally {
    await data.stop()
  }
  const disk = await serveSnapshot(repo, 'latest:disk', socket)
  try {
    yield [
      'random reads of 4 KiB, 4 connections, of the whole disk',
      'per second',
      await randomReads(disk.uri),
    ]
    const convert = ['convert', '-f', 'raw', '-O', 'raw', disk.uri, target]
    yield ['qemu-img convert to a file', 's', await seconds('qemu-img', convert)]
  } finally {
    await disk.stop()
  }
  await rm(target, { force: true })
  yield [
    'restore to a file',
    's',
    await seconds(process.execPath, [PLATTER, 'restore', repo, 'latest:disk', target]),
  ]
  await rm(target, { force: true })
}

async function randomReads(uri: string): Promise<number> {
  const { stdout } = await run('fio', [
    '--name=random',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randread',
    '--bs=4k',
    '--numjobs=4',
    '--iodepth=8',
    '--thread',
    '--time_based',
    `--runtime=${RANDOM_READ_SECONDS}`,
    '--group_reporting',
    '--randrepeat=0',
    '--output-format=json',
  ])
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { jobs: { read: { iops: number } }[] }
  return report.jobs[0]!.read.iops
}

async function seconds(program: string, args: readonly string[]): Promise<number> {
  const started = performance.now()
  await run(program, args)
  return (performance.now() - started) / 1000
}

async function platter(args: readonly string[]): Promise<void> {
  await run(process.execPath, [PLATTER, ...args])
}

async function run(program: string, args: readonly string[]): Promise<{ readonly stdout: string }> {
  // fio leaves its state where it runs.
  const output = await runTool(program, args, { cwd: tmpdir() })
  if (output.code !== 0) throw new Error(`${program} ended with ${output.code}: ${output.stderr.slice(-500)}`)
  return output
}

function markdown(rows: readonly Row[], corpus: CorpusManifest, load: readonly number[]): string {
  const lines = rows.map(({ title, unit, values }) => {
    const shown = [median(values), Math.min(...values), Math.max(...values)]
    return `| ${title} | ${unit} | ${shown.map((value) => value.toFixed(value < 100 ? 2 : 0)).join(' | ')} |`
  })
  return [
    `A disk with ${Math.round(corpus.packedBytes / 1e6)} MB of data; load before the start: ${load.map((n) => n.toFixed(1)).join(', ')}`,
    '',
    '| what | unit | median | lowest | highest |',
    '| --- | --- | --: | --: | --: |',
    ...lines,
  ].join('\n')
}
