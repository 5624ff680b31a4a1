import { abandonSteps } from './abandon-steps.ts'
import type { Bounds } from './bounds.ts'
import { collectorSteps } from './collector-steps.ts'
import type { Rules } from './rules.ts'
import { COMMITTED, FORGOTTEN, type State, StateLayout } from './state-layout.ts'
import { StateTable } from './state-table.ts'
import { describeStep, Step, type StepKind } from './step.ts'
import { isSafe } from './store-view.ts'
import { writerSteps } from './writer-steps.ts'

export interface ExploreOptions {
  /** States after which the search gives up. */
  readonly maxStates?: number
  readonly onDepth?: (depth: number, states: number) => void
}

export interface Exploration {
  /** `safe`: every state that can be reached was looked at, and none loses data. */
  readonly outcome: 'safe' | 'violated' | 'unfinished'
  readonly states: number
  /** Steps to the state farthest away, or to the one that lost data. */
  readonly depth: number
  /** A shortest way to lose data, in words. */
  readonly trace: readonly string[]
}

/** Looks at every state that can be reached, nearest first. */
export function explore(bounds: Bounds, rules: Rules, options: ExploreOptions = {}): Exploration {
  const { maxStates = Number.POSITIVE_INFINITY, onDepth } = options
  const layout = new StateLayout(bounds)
  const table = new StateTable(layout.words)
  table.add(layout.initial(), 0)

  let expanded = 0
  let violation = -1
  const step = new Step(layout, rules, (next) => {
    const number = table.add(next, expanded)
    if (number >= 0 && violation < 0 && !isSafe(layout, next, rules)) violation = number
  })
  const current = new Uint32Array(layout.words)
  step.state = current

  let depth = 0
  let levelEnd = 1
  for (; expanded < table.size && violation < 0 && table.size < maxStates; expanded++) {
    if (expanded === levelEnd) {
      depth++
      levelEnd = table.size
      onDepth?.(depth, table.size)
    }
    table.read(expanded, current)
    allSteps(step)
  }
  const states = table.size
  if (violation < 0) return { outcome: expanded === states ? 'safe' : 'unfinished', states, depth, trace: [] }
  const trace = traceTo(violation, table, layout, rules)
  return { outcome: 'violated', states, depth: trace.length, trace }
}

function allSteps(step: Step): void {
  const { layout } = step
  for (let session = 0; session < layout.sessionCount; session++) {
    const snapshot = layout.snapshots[session]!
    if (step.get(snapshot) !== COMMITTED) continue
    step.fork()
    step.set(snapshot, FORGOTTEN)
    step.emit('forget', 0, session)
  }
  abandonSteps(step)
  for (let writer = 0; writer < layout.writers.length; writer++) writerSteps(step, writer)
  for (let collector = 0; collector < layout.collectors.length; collector++) collectorSteps(step, collector)
}

/** The steps to a state: found again by expanding every state on the way there. */
function traceTo(number: number, table: StateTable, layout: StateLayout, rules: Rules): string[] {
  const way: number[] = []
  for (let at = number; at !== 0; at = table.parent(at)) way.unshift(at)
  const target = new Uint32Array(layout.words)
  const trace: string[] = []
  let words = ''
  const step = new Step(layout, rules, (next: State, kind: StepKind, actor: number, detail: number) => {
    if (next.every((word, at) => word === target[at])) words = describeStep(kind, actor, detail)
  })
  step.state = new Uint32Array(layout.words)
  for (const at of way) {
    table.read(table.parent(at), step.state)
    table.read(at, target)
    allSteps(step)
    trace.push(words)
  }
  return trace
}
