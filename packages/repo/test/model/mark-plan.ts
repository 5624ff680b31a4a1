import { AT, end, fork, olderSessions } from './collector-state.ts'
import { type CollectorFields, OPEN } from './state-layout.ts'
import type { Step } from './step.ts'
import {
  chunksIn,
  contentOf,
  forEachChoice,
  forEachMix,
  forEachSnapshots,
  liveChunks,
  lowest,
  packsNamed,
  packsSwept,
  sessionsWith,
  winningSlots,
} from './store-view.ts'

/** The listings before a mark, and every mark that can come of them. */
export function markPlans(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  if (step.get(fields.at) === AT.markSnapshots) {
    if (rules.snapshotsBeforeIndex) finishSnapshots(step, collector, fields)
    else finishIndexFirst(step, collector, fields)
  } else if (rules.snapshotsBeforeIndex) {
    const live = step.get(fields.live)
    const open = step.get(fields.sessions)
    forEachListing(step, fields, (packs, segments) =>
      plan(step, collector, fields, { live, open, packs, segments }),
    )
  } else {
    const statuses = step.get(layout.allSnapshots)
    const live = liveChunks(layout, statuses)
    const open = sessionsWith(layout, statuses, OPEN)
    const packs = step.get(fields.packs)
    plan(step, collector, fields, { live, open, packs, segments: step.get(fields.listed) })
  }
}

/** What a collector saw when it makes a plan. */
interface Seen {
  readonly live: number
  /** Sessions neither committed nor fenced. */
  readonly open: number
  readonly packs: number
  readonly segments: number
}

function finishSnapshots(step: Step, collector: number, fields: CollectorFields): void {
  const { layout, rules } = step
  forEachSnapshots(rules, step.get(fields.listed), step.get(layout.allSnapshots), (statuses) => {
    const live = liveChunks(layout, statuses)
    fork(step, fields, AT.markIndex)
    step.set(fields.live, live)
    step.set(fields.sessions, sessionsWith(layout, statuses, OPEN))
    step.set(fields.packs, step.get(layout.present))
    step.set(fields.listed, step.get(layout.segments))
    step.emit('markSnapshots', collector, live)
  })
}

function finishIndexFirst(step: Step, collector: number, fields: CollectorFields): void {
  forEachListing(step, fields, (packs, segments) => {
    fork(step, fields, AT.markIndex)
    step.set(fields.packs, packs)
    step.set(fields.listed, segments)
    step.emit('markIndexFirst', collector, 0)
  })
}

/** Every outcome of listing packs and index at the same time, in any order of the two. */
export function forEachListing(
  step: Step,
  fields: CollectorFields,
  take: (packs: number, segments: number) => void,
): void {
  const { layout } = step
  forEachMix(step.get(fields.packs), step.get(layout.present), (packs) =>
    forEachMix(step.get(fields.listed), step.get(layout.segments), (segments) => take(packs, segments)),
  )
}

/** Copies that count, as packs: named by a segment that counts, and seen. */
export function copiesSeen(step: Step, packs: number, segments: number): number {
  const { layout, rules, state } = step
  const slots = rules.sweepCommitsRepack ? winningSlots(layout, state, -1) : -1
  const gone = rules.ignoreSwept ? packsSwept(layout, state, -1) : 0
  const named = packsNamed(layout, segments, 0, slots) & ~gone
  return rules.copiesPresent ? named & packs : named
}

/**
 * Keeps one copy of every live chunk, whichever, and condemns the other packs of closed sessions. A copy that is kept
 * in a pack with dead chunks may be condemned too, to be repacked.
 */
function plan(step: Step, collector: number, fields: CollectorFields, seen: Seen): void {
  const { layout, rules, state } = step
  const copies = copiesSeen(step, seen.packs, seen.segments)
  if (rules.stopOnMissing && (seen.live & ~chunksIn(layout, state, copies)) !== 0) {
    step.fork()
    end(step, fields)
    step.emit('markStop', collector, 0)
    return
  }
  const ofOpen = rules.spareOpen ? (seen.open >>> 1) << layout.writerPacks : 0
  forEachChoice(layout, state, copies, seen.live, (kept) => {
    const condemned = seen.packs & ~ofOpen & ~kept
    emitPlan(step, collector, fields, condemned)
    const partlyLive = withDeadChunks(step, kept & seen.packs & ~ofOpen, seen.live)
    if (partlyLive !== 0) emitPlan(step, collector, fields, condemned | partlyLive)
  })
}

function withDeadChunks(step: Step, packs: number, live: number): number {
  let found = 0
  for (let rest = packs; rest !== 0; rest &= rest - 1) {
    const pack = lowest(rest)
    if ((contentOf(step.layout, step.state, pack) & ~live) !== 0) found |= 1 << pack
  }
  return found
}

function emitPlan(step: Step, collector: number, fields: CollectorFields, condemned: number): void {
  const generation = step.get(fields.generation)
  const older = olderSessions(step, step.get(step.layout.allIntents), generation)
  fork(step, fields, AT.mark)
  step.set(fields.live, 0)
  step.set(fields.sessions, step.rules.sessionsAfterMark ? 0 : older)
  step.set(fields.packs, condemned)
  step.emit('markPlan', collector, condemned)
}
