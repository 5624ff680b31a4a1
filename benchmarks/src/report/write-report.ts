import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toBarChart } from './bar-chart.ts'
import { toMarkdown } from './markdown.ts'
import type { Results } from './results.ts'

/** Writes results to a folder as `results.json`, `results.md` and `results.svg`. */
export async function writeReport(results: Results, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'results.json'), `${JSON.stringify(results, null, 2)}\n`)
  await writeFile(join(folder, 'results.md'), toMarkdown(results))
  await writeFile(join(folder, 'results.svg'), toBarChart(results))
}
