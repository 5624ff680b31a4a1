import { formatBinary, formatMegabytes, formatRatio, formatSeconds } from './format.ts'
import type { Results } from './results.ts'
import { type ScenarioSummary, type SummaryLine, summarize } from './summary.ts'

/** Writes results as Markdown: the machine, one table for each scenario, the settings of every program. */
export function toMarkdown(results: Results): string {
  return [heading(results), ...summarize(results).map(scenarioSection), programSection(results)].join('\n')
}

function heading({ date, machine, disk, runs }: Results): string {
  const label = disk.filesystem === 'ext4' ? 'an ext4 root' : 'a SYNTHETIC stand-in for a filesystem'
  return `# Benchmark results

- ${date}, ${machine.cores} × ${machine.cpu}, ${formatBinary(machine.memoryBytes)} of memory, Linux ${machine.kernel}, \
Node ${machine.node}
- load before the start: ${machine.load.map((load) => load.toFixed(2)).join(', ')}
- disks of ${formatBinary(disk.diskBytes)} with ${label} and ${formatMegabytes(disk.dataBytes)} MB of data that is not zero; \
images in page cache, repositories on ${disk.repositoriesOn}
- ${runs === 1 ? 'one run' : `medians of ${runs} runs, with the fastest and the slowest`}; \
ratios are to the first platter of the same table
`
}

function scenarioSection({ title, lines }: ScenarioSummary): string {
  const head = ['program', 'wall, s', 'range, s', 'time', 'CPU, s', 'peak, MB', 'growth, MB', 'growth']
  const table = [head, head.map((_, index) => (index === 0 ? '---' : '--:')), ...lines.map(cells)]
  return `## ${capitalized(title)}\n\n${table.map((row) => `| ${row.join(' | ')} |`).join('\n')}\n`
}

function cells({ peer, note, figures }: SummaryLine): string[] {
  const title = note === undefined ? peer.title : `${peer.title}: ${escapeCell(note)}`
  if (figures === undefined) return [title, '', '', '', '', '', '', '']
  return [
    title,
    formatSeconds(figures.wallSeconds),
    `${formatSeconds(figures.fastestSeconds)}–${formatSeconds(figures.slowestSeconds)}`,
    optional(figures.timesPlatter, formatRatio),
    optional(figures.cpuSeconds, formatSeconds),
    optional(figures.peakBytes, formatMegabytes),
    figures.growthBytes > 0 ? formatMegabytes(figures.growthBytes) : '',
    optional(figures.growthTimesPlatter, formatRatio),
  ]
}

function programSection({ peers }: Results): string {
  const lines = peers.map(
    ({ title, version, settings }) => `- ${title} ${version ?? '(not installed)'}: ${settings}`,
  )
  return `## Programs and settings\n\n${lines.join('\n')}\n`
}

function optional(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '' : format(value)
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ')
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
