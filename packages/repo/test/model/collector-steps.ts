import { AT, end, fork, olderSessions } from './collector-state.ts'
import { markPlans } from './mark-plan.ts'
import { type CollectorFields, FENCED, type GenerationFields, OPEN } from './state-layout.ts'
import type { Step } from './step.ts'
import { forEachMix, newestGeneration, segmentsWithout, sessionsWith } from './store-view.ts'
import { sweepPlans } from './sweep-plan.ts'

/** All that a collector can do next. At any moment it may die; another process then begins in its place. */
export function collectorSteps(step: Step, collector: number): void {
  const fields = step.layout.collectors[collector]!
  const at = step.get(fields.at)
  if (at !== AT.idle) {
    step.fork()
    end(step, fields)
    step.emit('crash', collector, 0)
  }
  if (at === AT.idle) beginGeneration(step, collector, fields)
  else if (at <= AT.markIndex) markPlans(step, collector, fields)
  else if (at === AT.mark) publishMark(step, collector, fields)
  else if (at === AT.sessions) listSessions(step, collector, fields)
  else if (at === AT.wait) wait(step, collector, fields)
  else if (at <= AT.sweepIndex) sweepPlans(step, collector, fields)
  else if (at === AT.repack) writeRepack(step, collector, fields)
  else if (at === AT.segment) writeSegment(step, collector, fields)
  else if (at === AT.sweep) publishSweep(step, collector, fields)
  else remove(step, collector, fields, at)
}

/** Finishes the newest generation where that is not done, and else begins the next. */
function beginGeneration(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules, state } = step
  const newest = newestGeneration(layout, state)
  const current = layout.generations[newest - 1]
  const isUnfinished = current !== undefined && step.get(current.done) === 0
  if (isUnfinished && step.get(current.winner) !== 0) {
    fork(step, fields, AT.dropFirst)
    step.set(fields.generation, newest)
    step.set(fields.packs, step.get(current.dropped))
    step.emit('resumeSweep', collector, newest)
  } else if (isUnfinished) {
    fork(step, fields, AT.sessions)
    step.set(fields.generation, newest)
    step.set(fields.listed, step.get(layout.allIntents))
    step.emit('resumeWait', collector, newest)
  }
  if ((isUnfinished && rules.finishFirst) || newest === layout.bounds.generations) return
  fork(step, fields, AT.markSnapshots)
  step.set(fields.generation, newest + 1)
  if (rules.snapshotsBeforeIndex) step.set(fields.listed, step.get(layout.allSnapshots))
  else {
    step.set(fields.listed, step.get(layout.segments))
    step.set(fields.packs, step.get(layout.present))
  }
  step.emit('beginMark', collector, newest + 1)
}

/** Creates the mark. Another collector's mark makes this one begin anew, which finds it. */
function publishMark(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules, state } = step
  const generation = step.get(fields.generation)
  if (newestGeneration(layout, state) !== generation - 1) {
    step.fork()
    end(step, fields)
    step.emit('markLost', collector, generation)
    return
  }
  const { marked, condemned } = generationOf(step, fields)
  const packs = step.get(fields.packs)
  fork(step, fields, rules.sessionsAfterMark ? AT.sessions : AT.wait)
  step.set(marked, 1)
  step.set(condemned, packs)
  step.set(fields.packs, 0)
  if (rules.sessionsAfterMark) step.set(fields.listed, step.get(layout.allIntents))
  step.emit('mark', collector, generation)
}

/** The end of the listing of sessions. */
function listSessions(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  const generation = step.get(fields.generation)
  const before = olderSessions(step, step.get(fields.listed), generation)
  const now = olderSessions(step, step.get(layout.allIntents), generation)
  forEachMix(before, now, (sessions) => {
    fork(step, fields, AT.wait)
    step.set(fields.sessions, sessions)
    step.set(fields.listed, rules.snapshotsAfterWait ? 0 : step.get(layout.allSnapshots))
    step.emit('sessions', collector, sessions)
  })
}

/** Fences at any moment: that is a clock which may say anything. */
function wait(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  const statuses = step.get(layout.allSnapshots)
  const open = step.get(fields.sessions) & sessionsWith(layout, statuses, OPEN)
  if (open === 0 || !rules.wait) {
    fork(step, fields, AT.sweepSnapshots)
    step.set(fields.sessions, 0)
    if (!rules.snapshotsBeforeIndex) {
      step.set(fields.listed, step.get(layout.segments))
      step.set(fields.packs, step.get(layout.present))
    } else if (rules.snapshotsAfterWait) step.set(fields.listed, statuses)
    step.emit('waited', collector, step.get(fields.generation))
    return
  }
  for (let session = 0; session < layout.sessionCount; session++) {
    if (((open >>> session) & 1) === 0) continue
    step.fork()
    step.set(layout.snapshots[session]!, FENCED)
    step.emit('fence', collector, session)
  }
}

function writeRepack(step: Step, collector: number, fields: CollectorFields): void {
  const { layout } = step
  const chunks = step.get(fields.repack)
  const pack = layout.collectorPacks + layout.slot(collector, step.get(fields.generation))
  fork(step, fields, AT.segment)
  step.set(layout.contents[pack]!, chunks)
  step.set(layout.present, step.get(layout.present) | (1 << pack))
  step.emit('repack', collector, chunks)
}

/** One segment for the repacked pack and for what stays of replaced segments. */
function writeSegment(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  const slot = layout.slot(collector, step.get(fields.generation))
  const names = (step.get(fields.survivors) << 1) | (step.get(fields.repack) ? 1 : 0)
  fork(step, fields, rules.repackBeforeSweep ? AT.sweep : AT.dropFirst)
  step.set(layout.segments, step.get(layout.segments) | (names << (layout.sessionCount + 3 * slot)))
  step.set(fields.repack, 0)
  step.set(fields.survivors, 0)
  step.emit('replaceSegment', collector, 0)
}

/** The first sweep of a generation counts. */
function publishSweep(step: Step, collector: number, fields: CollectorFields): void {
  const { rules } = step
  const generation = step.get(fields.generation)
  const { winner, dropped } = generationOf(step, fields)
  const isFirst = step.get(winner) === 0
  const packs = step.get(fields.packs)
  const writesLater = !rules.repackBeforeSweep && isFirst
  if (writesLater && step.get(fields.repack)) fork(step, fields, AT.repack)
  else fork(step, fields, writesLater && step.get(fields.survivors) ? AT.segment : AT.dropFirst)
  if (isFirst) {
    step.set(winner, collector + 1)
    step.set(dropped, packs)
  } else {
    step.set(fields.repack, 0)
    step.set(fields.survivors, 0)
    if (rules.adoptSweep) step.set(fields.packs, step.get(dropped))
  }
  step.emit(isFirst ? 'sweep' : 'adopt', collector, generation)
}

/** The three last steps, in the order the rules say. */
function remove(step: Step, collector: number, fields: CollectorFields, at: number): void {
  const { rules } = step
  const packs: Removal[] = rules.indexBeforePacks ? [dropIndex, dropPacks] : [dropPacks, dropIndex]
  const order = rules.doneLast ? [...packs, publishDone] : [publishDone, ...packs]
  const place = at - AT.dropFirst
  const removal = order[place]!
  if (place === 2) {
    step.fork()
    const packsToGo = step.get(fields.packs)
    removal(step, collector, fields, packsToGo)
    end(step, fields)
  } else {
    fork(step, fields, at + 1)
    removal(step, collector, fields, step.get(fields.packs))
  }
  step.emit(
    REMOVAL_KINDS.get(removal)!,
    collector,
    removal === publishDone ? step.get(fields.generation) : step.get(fields.packs),
  )
}

type Removal = (step: Step, collector: number, fields: CollectorFields, packs: number) => void

const dropIndex: Removal = (step, _collector, _fields, packs) => {
  const { segments } = step.layout
  step.set(segments, segmentsWithout(step.layout, step.get(segments), packs))
}

const dropPacks: Removal = (step, _collector, _fields, packs) => {
  const { present } = step.layout
  step.set(present, step.get(present) & ~packs)
}

const publishDone: Removal = (step, _collector, fields) => {
  step.set(generationOf(step, fields).done, 1)
  if (step.rules.keepFences) return
  for (const snapshot of step.layout.snapshots) if (step.get(snapshot) === FENCED) step.set(snapshot, OPEN)
}

const REMOVAL_KINDS = new Map([
  [dropIndex, 'dropIndex'],
  [dropPacks, 'dropPacks'],
  [publishDone, 'done'],
] as const)

function generationOf(step: Step, fields: CollectorFields): GenerationFields {
  return step.layout.generations[step.get(fields.generation) - 1]!
}
