#!/usr/bin/env node
import { HELP, parseBenchOptions } from './bench-options.ts'
import { runKernels } from './kernels/run-kernels.ts'
import { runLiveDisk } from './live-disk/run-live-disk.ts'
import { allPeers } from './peers/index.ts'
import { toMarkdown } from './report/markdown.ts'
import { writeReport } from './report/write-report.ts'
import { runBench } from './run-bench.ts'

const interruption = new AbortController()
process.once('SIGINT', () => interruption.abort(new Error('Interrupted.')))
process.once('SIGTERM', () => interruption.abort(new Error('Interrupted.')))

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

async function main(): Promise<void> {
  const options = parseBenchOptions(process.argv.slice(2), process.env)
  if (options.help) console.log(HELP)
  else if (options.list) await listPeers(options.node24)
  else if (options.suite === 'kernels') console.log(await runKernels())
  else if (options.suite === 'live')
    console.log(await runLiveDisk(options, (message) => console.error(message)))
  else {
    const results = await runBench(options, (message) => console.error(message), interruption.signal)
    await writeReport(results, options.outDir)
    console.log(toMarkdown(results))
    console.error(`written to ${options.outDir}`)
  }
}

async function listPeers(node24: string | undefined): Promise<void> {
  for (const peer of await allPeers(node24)) {
    const version = (await peer.version()) ?? 'not installed'
    console.log(
      `${peer.id.padEnd(16)} ${peer.title} ${version}\n${' '.repeat(17)}${peer.scenarios.join(', ')}`,
    )
  }
}
