import { SCENARIO_IDS, SCENARIOS, type ScenarioId } from '../scenarios/scenario.ts'
import type { PeerState, Results, Row } from './results.ts'
import { median, medianOfKnown } from './statistics.ts'

/** The results of one scenario, ready to be shown. */
export interface ScenarioSummary {
  readonly id: ScenarioId
  readonly title: string
  readonly lines: readonly SummaryLine[]
}

export interface SummaryLine {
  readonly peer: PeerState
  readonly note?: string
  /** Absent when nothing was measured. */
  readonly figures?: Figures
}

export interface Figures {
  readonly wallSeconds: number
  readonly fastestSeconds: number
  readonly slowestSeconds: number
  readonly cpuSeconds?: number
  /** The largest of all runs. */
  readonly peakBytes?: number
  readonly growthBytes: number
  /** Time, and growth, in units of the first platter that ran in this scenario. */
  readonly timesPlatter?: number
  readonly growthTimesPlatter?: number
}

/** Condenses the runs of each scenario; those that did not run are left out, missing programs are not. */
export function summarize(results: Results): ScenarioSummary[] {
  return SCENARIO_IDS.map((id) => ({ id, rows: results.rows.filter((row) => row.scenario === id) }))
    .filter(({ rows }) => rows.length > 0)
    .map(({ id, rows }) => ({ id, title: SCENARIOS[id], lines: summarizeRows(results, rows) }))
}

function summarizeRows(results: Results, rows: readonly Row[]): SummaryLine[] {
  const measured = rows.filter((row) => row.runs.length > 0)
  const platter = measured.find((row) => row.peer.startsWith('platter'))
  const reference = platter === undefined ? undefined : figuresOf(platter)
  const lines: SummaryLine[] = []
  for (const peer of results.peers) {
    const row = rows.find((one) => one.peer === peer.id)
    if (row !== undefined) lines.push(summarizeRow(peer, row, reference))
    else if (peer.version === undefined) lines.push({ peer, note: 'not installed' })
  }
  return lines
}

function summarizeRow(peer: PeerState, row: Row, reference: Figures | undefined): SummaryLine {
  const note = row.note === undefined ? {} : { note: row.note }
  if (row.runs.length === 0) return { peer, ...note }
  return { peer, ...note, figures: relativeTo(figuresOf(row), reference) }
}

function figuresOf({ runs }: Row): Figures {
  const walls = runs.map((run) => run.wallSeconds)
  const cpuSeconds = medianOfKnown(runs.map((run) => run.cpuSeconds))
  const peaks = runs.map((run) => run.peakBytes).filter((peak) => peak !== undefined)
  return {
    wallSeconds: median(walls),
    fastestSeconds: Math.min(...walls),
    slowestSeconds: Math.max(...walls),
    growthBytes: median(runs.map((run) => run.growthBytes)),
    ...(cpuSeconds === undefined ? {} : { cpuSeconds }),
    ...(peaks.length === 0 ? {} : { peakBytes: Math.max(...peaks) }),
  }
}

function relativeTo(figures: Figures, reference: Figures | undefined): Figures {
  if (reference === undefined) return figures
  const growth = Math.min(figures.growthBytes, reference.growthBytes) >= COMPARABLE_GROWTH_BYTES
  return {
    ...figures,
    timesPlatter: figures.wallSeconds / reference.wallSeconds,
    ...(growth ? { growthTimesPlatter: figures.growthBytes / reference.growthBytes } : {}),
  }
}

/** Below this, growth is bookkeeping, and its ratio says nothing. */
const COMPARABLE_GROWTH_BYTES = 1e6
