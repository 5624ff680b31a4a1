import { FIRST_PACK_SET } from './bounds.ts'
import { AT, end, fork } from './collector-state.ts'
import { copiesSeen, forEachListing } from './mark-plan.ts'
import type { CollectorFields } from './state-layout.ts'
import type { Step } from './step.ts'
import { chunksIn, contentOf, forEachChoice, forEachSnapshots, liveChunks } from './store-view.ts'

/** The listings before a sweep, and every sweep that can come of them. */
export function sweepPlans(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  if (step.get(fields.at) === AT.sweepSnapshots) {
    if (rules.snapshotsBeforeIndex) finishSnapshots(step, collector, fields)
    else finishIndexFirst(step, collector, fields)
  } else if (rules.snapshotsBeforeIndex) {
    const live = step.get(fields.live)
    forEachListing(step, fields, (packs, segments) => plan(step, collector, fields, live, packs, segments))
  } else {
    const live = liveChunks(layout, step.get(layout.allSnapshots))
    plan(step, collector, fields, live, step.get(fields.packs), step.get(fields.listed))
  }
}

function finishSnapshots(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  const before = step.get(fields.listed)
  // A listing that began and ended before the wait knows nothing of what was committed since.
  const now = rules.snapshotsAfterWait ? step.get(layout.allSnapshots) : before
  forEachSnapshots(rules, before, now, (statuses) => {
    const live = liveChunks(layout, statuses)
    fork(step, fields, AT.sweepIndex)
    step.set(fields.live, live)
    step.set(fields.packs, step.get(layout.present))
    step.set(fields.listed, step.get(layout.segments))
    step.emit('sweepSnapshots', collector, live)
  })
}

function finishIndexFirst(step: Step, collector: number, fields: CollectorFields): void {
  forEachListing(step, fields, (packs, segments) => {
    fork(step, fields, AT.sweepIndex)
    step.set(fields.packs, packs)
    step.set(fields.listed, segments)
    step.emit('sweepIndexFirst', collector, 0)
  })
}

/** Live chunks whose copies are all condemned: either packs that hold them are taken off the list, or they are repacked. */
function plan(
  step: Step,
  collector: number,
  fields: CollectorFields,
  live: number,
  packs: number,
  segments: number,
): void {
  const { layout, rules, state } = step
  const condemned = step.get(layout.generations[step.get(fields.generation) - 1]!.condemned)
  const copies = copiesSeen(step, packs, segments)
  const needed = rules.rescue ? live & ~chunksIn(layout, state, copies & ~condemned) : 0
  if (rules.stopOnMissing && (needed & ~chunksIn(layout, state, copies)) !== 0) {
    step.fork()
    end(step, fields)
    step.emit('sweepStop', collector, 0)
    return
  }
  forEachChoice(layout, state, copies & condemned, needed, (rescued) =>
    emitPlan(step, collector, fields, condemned & ~rescued, 0, segments),
  )
  if (needed !== 0 && !isSlotUsed(step, collector, fields))
    emitPlan(step, collector, fields, condemned, needed & chunksIn(layout, state, copies), segments)
}

function emitPlan(
  step: Step,
  collector: number,
  fields: CollectorFields,
  wanted: number,
  repack: number,
  segments: number,
): void {
  const { rules } = step
  let dropped = wanted
  let survivors = 0
  const isSplit =
    (segments & 1) !== 0 && (dropped & FIRST_PACK_SET) !== 0 && (dropped & FIRST_PACK_SET) !== FIRST_PACK_SET
  if (isSplit && rules.nameSurvivors) {
    // A segment can be replaced once in a generation by the same collector, since names are never used again.
    if (isSlotUsed(step, collector, fields)) dropped &= ~FIRST_PACK_SET
    else survivors = FIRST_PACK_SET & ~dropped
  }
  const writes = repack !== 0 ? AT.repack : survivors !== 0 ? AT.segment : AT.sweep
  fork(step, fields, rules.repackBeforeSweep ? writes : AT.sweep)
  step.set(fields.live, 0)
  step.set(fields.packs, dropped)
  step.set(fields.repack, repack)
  step.set(fields.survivors, survivors)
  step.emit('sweepPlan', collector, dropped)
}

/** Whether a predecessor of this collector wrote a pack or a segment in this generation. */
function isSlotUsed(step: Step, collector: number, fields: CollectorFields): boolean {
  const { layout, state } = step
  const slot = layout.slot(collector, step.get(fields.generation))
  const named = (step.get(layout.segments) >>> (layout.sessionCount + 3 * slot)) & 7
  return named !== 0 || contentOf(layout, state, layout.collectorPacks + slot) !== 0
}
