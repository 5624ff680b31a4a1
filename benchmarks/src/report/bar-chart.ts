import { formatBinary, formatMegabytes, formatRatio, formatSeconds } from './format.ts'
import type { Results } from './results.ts'
import { type Figures, type ScenarioSummary, type SummaryLine, summarize } from './summary.ts'

/** Draws the wall times as bars, one panel for each scenario, readable on light and on dark ground. */
export function toBarChart(results: Results): string {
  const panels: string[] = []
  let top = TITLE_HEIGHT
  for (const summary of summarize(results)) {
    const panel = drawPanel(summary, top)
    if (panel === undefined) continue
    panels.push(panel.svg)
    top += panel.height
  }
  const { machine, disk, runs } = results
  const caption = `Wall time in seconds, shorter is better; ${runs === 1 ? 'one run' : `medians of ${runs} runs`}`
  const setting =
    `${formatMegabytes(disk.dataBytes)} MB of data on a disk of ${formatBinary(disk.diskBytes)}` +
    `${disk.filesystem === 'synthetic' ? ' (synthetic)' : ''}; ${machine.cores} cores, ${machine.cpu}`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}" role="img">
<style>${STYLE}</style>
${text(PADDING, 24, 'title', caption)}
${text(PADDING, 42, 'small', setting)}
${panels.join('\n')}
</svg>
`
}

const WIDTH = 880
const PADDING = 12
const TITLE_HEIGHT = 56
const PANEL_TITLE_HEIGHT = 30
const AXIS_HEIGHT = 40
const BAR_HEIGHT = 16
const BAR_PITCH = 23
const BARS_LEFT = 244
const BARS_RIGHT = 624

/** Colours of middle lightness stand out on white and on black; the texts follow the reader's preference. */
const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #3d444d; }
.title { font-size: 15px; font-weight: 600; } .panel { font-size: 13px; font-weight: 600; }
.small { font-size: 11px; } .end { text-anchor: end; } .middle { text-anchor: middle; }
.platter { fill: #2f81c7; } .peer { fill: #8b949e; } .bound { fill: #b08a3e; }
.grid { stroke: #8b949e; stroke-opacity: .35; } .range { stroke: #57606a; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9; } .range { stroke: #e6edf3; } }`

function drawPanel(summary: ScenarioSummary, top: number): { svg: string; height: number } | undefined {
  const lines = summary.lines.filter(hasFigures)
  if (lines.length === 0) return undefined
  const axis = axisUpTo(Math.max(...lines.map(({ figures }) => figures.slowestSeconds)))
  const barsTop = top + PANEL_TITLE_HEIGHT
  const barsBottom = barsTop + lines.length * BAR_PITCH
  const svg = [
    text(PADDING, top + 18, 'panel', `${summary.title.charAt(0).toUpperCase()}${summary.title.slice(1)}`),
    ...axis.ticks.map((tick) => drawTick(tick, axis, barsTop, barsBottom)),
    ...lines.map((line, index) => drawBar(line, axis, barsTop + index * BAR_PITCH)),
  ].join('\n')
  return { svg, height: PANEL_TITLE_HEIGHT + lines.length * BAR_PITCH + AXIS_HEIGHT }
}

type MeasuredLine = SummaryLine & { readonly figures: Figures }

function hasFigures(line: SummaryLine): line is MeasuredLine {
  return line.figures !== undefined
}

interface Axis {
  readonly ticks: readonly number[]
  readonly end: number
}

/** Chooses four to eight round ticks. */
function axisUpTo(largest: number): Axis {
  const magnitude = 10 ** Math.floor(Math.log10(largest))
  const step = [0.2, 0.5, 1, 2].map((factor) => factor * magnitude).find((one) => largest / one <= 8)!
  const count = Math.ceil(largest / step)
  const ticks = Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(6)))
  return { ticks, end: ticks[count]! }
}

function position(seconds: number, axis: Axis): number {
  return Number((BARS_LEFT + ((BARS_RIGHT - BARS_LEFT) * seconds) / axis.end).toFixed(1))
}

function drawTick(tick: number, axis: Axis, top: number, bottom: number): string {
  const x = position(tick, axis)
  const unit = tick === axis.end ? `${tick} s` : `${tick}`
  return `<line class="grid" x1="${x}" x2="${x}" y1="${top - 4}" y2="${bottom}"/>${text(x, bottom + 14, 'small middle', unit)}`
}

function drawBar({ peer, figures }: MeasuredLine, axis: Axis, top: number): string {
  const end = position(figures.wallSeconds, axis)
  const middle = top + BAR_HEIGHT / 2
  const [fastest, slowest] = [position(figures.fastestSeconds, axis), position(figures.slowestSeconds, axis)]
  const range =
    slowest > fastest
      ? `<line class="range" x1="${fastest}" x2="${slowest}" y1="${middle}" y2="${middle}"/>`
      : ''
  return [
    text(BARS_LEFT - 8, middle + 4, 'end', peer.title),
    `<rect class="${barClass(peer.id)}" x="${BARS_LEFT}" y="${top}" width="${Math.max(1, end - BARS_LEFT).toFixed(1)}" height="${BAR_HEIGHT}"/>`,
    range,
    text(Math.max(end, slowest) + 6, middle + 4, '', barLabel(figures)),
  ].join('')
}

function barClass(id: string): string {
  if (id.startsWith('platter')) return 'platter'
  return id.startsWith('bound') || id.startsWith('cat') ? 'bound' : 'peer'
}

function barLabel(figures: Figures): string {
  const parts = [`${formatSeconds(figures.wallSeconds)} s`]
  if (figures.timesPlatter !== undefined) parts.push(formatRatio(figures.timesPlatter))
  if (figures.growthBytes > 0) parts.push(`+${formatMegabytes(figures.growthBytes)} MB`)
  if (figures.peakBytes !== undefined) parts.push(`peak ${formatMegabytes(figures.peakBytes)} MB`)
  return parts.join(' · ')
}

function text(x: number, y: number, style: string, content: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x}" y="${y}"${style === '' ? '' : ` class="${style}"`}>${escaped}</text>`
}
