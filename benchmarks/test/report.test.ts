import { readFile } from 'node:fs/promises'
import { type Results, type Run, toBarChart, toMarkdown, writeReport } from '@platter/benchmarks/report'
import t from 'tap'

const RESULTS: Results = {
  date: '2025-01-01T00:00:00.000Z',
  machine: {
    cpu: 'Test <CPU>',
    cores: 2,
    memoryBytes: 2 ** 34,
    kernel: '6.1',
    node: 'v20.19.0',
    load: [0.1, 0.2, 0.3],
  },
  disk: { filesystem: 'ext4', diskBytes: 2 ** 33, dataBytes: 3e9, repositoriesOn: 'tmpfs' },
  runs: 3,
  peers: [
    { id: 'platter', title: 'platter (Node 20, lz4)', settings: 'defaults', version: '0.1.0' },
    { id: 'restic', title: 'restic', settings: 'stdin', version: '0.14.0' },
    { id: 'borg', title: 'borg (lz4)', settings: 'stdin' },
    { id: 'casync', title: 'casync', settings: 'store', version: '2' },
  ],
  rows: [
    { peer: 'platter', scenario: 'first', runs: [run(4, 1200e6), run(5, 1200e6), run(3, 1200e6)] },
    { peer: 'restic', scenario: 'first', runs: [run(20, 1208e6), run(24, 1208e6), run(22, 1208e6)] },
    { peer: 'casync', scenario: 'first', runs: [], note: 'failed: a | pipe\nbroke' },
    { peer: 'platter', scenario: 'unchanged', runs: [{ wallSeconds: 0.5, growthBytes: 300 }] },
    { peer: 'restic', scenario: 'unchanged', runs: [{ wallSeconds: 5.25, growthBytes: 900 }] },
  ],
}

function run(wallSeconds: number, growthBytes: number): Run {
  return { wallSeconds, growthBytes, cpuSeconds: wallSeconds * 1.5, peakBytes: 100e6 + wallSeconds * 1e6 }
}

t.test('the Markdown table has medians, ranges, ratios and reasons', async (t) => {
  const markdown = toMarkdown(RESULTS)
  const lines = markdown.split('\n')
  t.match(markdown, '2 × Test <CPU>, 16 GiB of memory')
  t.ok(lines.includes('| platter (Node 20, lz4) | 4.00 | 3.00–5.00 | 1.00× | 6.00 | 105 | 1200 | 1.00× |'))
  t.ok(lines.includes('| restic | 22.0 | 20.0–24.0 | 5.50× | 33.0 | 124 | 1208 | 1.01× |'))
  t.ok(lines.includes('| borg (lz4): not installed |  |  |  |  |  |  |  |'))
  t.ok(lines.includes('| casync: failed: a \\| pipe broke |  |  |  |  |  |  |  |'))
  t.ok(lines.includes('| restic | 5.25 | 5.25–5.25 | 11× |  |  | 0.0 |  |'), 'no ratio of negligible growth')
  t.notMatch(markdown, '## B after A')
})

t.test('the chart has a bar for each measured program and a well-formed frame', async (t) => {
  const chart = toBarChart(RESULTS)
  t.equal(chart.match(/<rect /g)?.length, 4)
  t.match(chart, 'Test &lt;CPU>')
  t.notMatch(chart, /NaN|undefined|Infinity/)
  const opened = chart.match(/<(svg|style|text)\b/g)?.length
  const closed = chart.match(/<\/(svg|style|text)>/g)?.length
  t.equal(opened, closed)
})

t.test('the report is written as JSON, Markdown and SVG', async (t) => {
  const folder = t.testdir()
  await writeReport(RESULTS, folder)
  t.same(JSON.parse(await readFile(`${folder}/results.json`, 'utf8')), RESULTS)
  t.equal(await readFile(`${folder}/results.md`, 'utf8'), toMarkdown(RESULTS))
  t.equal(await readFile(`${folder}/results.svg`, 'utf8'), toBarChart(RESULTS))
})
