import { BOTH } from './bounds.ts'
import { COMMITTED, FENCED, OPEN, type WriterFields } from './state-layout.ts'
import type { Step } from './step.ts'
import {
  chunksIn,
  forEachMix,
  newestGeneration,
  packsNamed,
  packsSwept,
  sessionsWith,
  winningSlots,
} from './store-view.ts'

/** Where a writer is in its session. */
const BEGIN = 0
const INTENT = 1
const REREAD = 2
const LISTING = 3
const LOADED = 4
const PACKED = 5
const COMMIT = 6
const ENDED = 7

/** All that a writer can do next. A writer that died is one that is never chosen again. */
export function writerSteps(step: Step, writer: number): void {
  const fields = step.layout.writers[writer]!
  const at = step.get(fields.at)
  if (at === BEGIN) readGeneration(step, writer, fields)
  else if (at === INTENT) writeIntent(step, writer, fields)
  else if (at === REREAD) rereadGeneration(step, writer, fields)
  else if (at === LISTING) finishListing(step, writer, fields)
  else if (at === LOADED) writePack(step, writer, fields)
  else if (at === PACKED) writeSegment(step, writer, fields)
  else if (at === COMMIT) commit(step, writer, fields)
}

function readGeneration(step: Step, writer: number, fields: WriterFields): void {
  const { layout, rules, state } = step
  const generation = newestGeneration(layout, state)
  step.fork()
  step.set(fields.at, INTENT)
  step.set(fields.generation, generation)
  if (!rules.fencesAfterIntent) step.set(fields.fenced, fencedNow(step))
  if (!rules.freshIndex) step.set(fields.firstClaims, knownNow(step, fencedNow(step), -1, generation, -1))
  step.emit('readGeneration', writer, generation)
}

function writeIntent(step: Step, writer: number, fields: WriterFields): void {
  const generation = step.get(fields.generation)
  step.fork()
  step.set(fields.at, REREAD)
  step.set(step.layout.intents[sessionOf(step, writer, fields)]!, generation + 1)
  step.emit('intent', writer, generation)
}

/** The end of the second reading, and the beginning of the listing of the index. */
function rereadGeneration(step: Step, writer: number, fields: WriterFields): void {
  const { layout, rules, state } = step
  const generation = step.get(fields.generation)
  const now = newestGeneration(layout, state)
  if (rules.reread && now !== generation) {
    step.fork()
    step.set(fields.at, INTENT)
    step.set(fields.generation, now)
    step.emit('rereadMoved', writer, now)
    return
  }
  const loadedAt = step.get(fields.claimsGeneration)
  if (loadedAt !== 0 && (loadedAt === generation + 1 || !rules.reloadClaims)) keepClaims(step, writer, fields)

  const fenced = rules.fencesAfterIntent ? fencedNow(step) : step.get(fields.fenced)
  const done = generationsDone(step)
  const swept = generationsSwept(step)
  step.fork()
  step.set(fields.at, LISTING)
  step.set(fields.claimsGeneration, 0)
  step.set(fields.claims, 0)
  if (rules.freshIndex) step.set(fields.firstClaims, knownNow(step, fenced, done, generation, swept))
  step.set(fields.fenced, fenced)
  step.set(fields.seenDone, done)
  step.set(fields.seenSwept, swept)
  step.emit('rereadSame', writer, generation)
}

function keepClaims(step: Step, writer: number, fields: WriterFields): void {
  step.fork()
  step.set(fields.at, LOADED)
  skipPack(step, writer, fields, step.get(fields.claims))
  step.emit('keepClaims', writer, step.get(fields.claimsGeneration) - 1)
}

/**
 * The end of the listing of the index. What came while it ran may have been seen or not; so may what went. Fences are
 * taken as they were seen at the beginning, which knows more chunks than a later look.
 */
function finishListing(step: Step, writer: number, fields: WriterFields): void {
  const { rules } = step
  const generation = step.get(fields.generation)
  const first = step.get(fields.firstClaims)
  const done = rules.doneBeforeIndex ? step.get(fields.seenDone) : generationsDone(step)
  const swept = step.get(fields.seenSwept)
  // Where `.done` is looked at too late, it unhides what the listing saw at its beginning.
  const seen = rules.doneBeforeIndex ? first : first | unhidden(step, fields, done)
  const now = rules.freshIndex ? knownNow(step, step.get(fields.fenced), done, generation, swept) : first
  forEachMix(seen, now, (claims) => {
    step.fork()
    step.set(fields.at, LOADED)
    step.set(fields.claims, claims)
    step.set(fields.claimsGeneration, generation + 1)
    clearListing(step, fields)
    skipPack(step, writer, fields, claims)
    step.emit('load', writer, claims)
  })
}

/** Nothing to store: on to the commit. */
function skipPack(step: Step, writer: number, fields: WriterFields, claims: number): void {
  const missing = step.layout.needs[sessionOf(step, writer, fields)]! & ~claims
  if (missing === 0) step.set(fields.at, COMMIT)
}

function writePack(step: Step, writer: number, fields: WriterFields): void {
  const { layout, rules } = step
  const session = sessionOf(step, writer, fields)
  const missing = layout.needs[session]! & ~step.get(fields.claims)
  const pack = layout.writerPacks + session - 1
  const present = step.get(layout.present)
  if (!rules.freshPackNames && missing === BOTH && (present & 1) === 0) {
    step.fork()
    step.set(fields.at, COMMIT)
    step.set(fields.claims, BOTH)
    step.set(layout.present, present | 1)
    step.set(layout.segments, step.get(layout.segments) | 1)
    step.emit('writePack', writer, missing)
    return
  }
  step.fork()
  step.set(fields.at, PACKED)
  step.set(layout.contents[pack]!, missing)
  step.set(layout.present, present | (1 << pack))
  step.emit('writePack', writer, missing)
}

function writeSegment(step: Step, writer: number, fields: WriterFields): void {
  const { layout } = step
  const session = sessionOf(step, writer, fields)
  step.fork()
  step.set(fields.at, COMMIT)
  step.set(fields.claims, step.get(fields.claims) | layout.needs[session]!)
  step.set(layout.segments, step.get(layout.segments) | (1 << session))
  step.emit('writeSegment', writer, 0)
}

function commit(step: Step, writer: number, fields: WriterFields): void {
  const { layout, rules } = step
  const session = sessionOf(step, writer, fields)
  const status = step.get(layout.snapshots[session]!)
  if (status !== OPEN && (rules.commitOnce || status !== FENCED)) {
    step.fork()
    end(step, fields)
    step.emit('commitFenced', writer, session)
    return
  }
  step.fork()
  step.set(layout.snapshots[session]!, COMMITTED)
  const isLast = step.get(fields.session) + 1 === layout.bounds.writers[writer]!.length
  if (isLast) end(step, fields)
  else {
    step.set(fields.at, BEGIN)
    step.set(fields.session, step.get(fields.session) + 1)
    step.set(fields.generation, 0)
  }
  step.emit('commit', writer, session)
}

/** States that differ only in what an ended writer knew are one. */
function end(step: Step, fields: WriterFields): void {
  step.set(fields.at, ENDED)
  step.set(fields.session, 0)
  step.set(fields.generation, 0)
  step.set(fields.claims, 0)
  step.set(fields.claimsGeneration, 0)
}

function clearListing(step: Step, fields: WriterFields): void {
  step.set(fields.firstClaims, 0)
  step.set(fields.fenced, 0)
  step.set(fields.seenDone, 0)
  step.set(fields.seenSwept, 0)
}

function sessionOf(step: Step, writer: number, fields: WriterFields): number {
  return step.layout.firstSessions[writer]! + step.get(fields.session)
}

function fencedNow(step: Step): number {
  return sessionsWith(step.layout, step.get(step.layout.allSnapshots), FENCED)
}

function generationsDone(step: Step): number {
  return step.layout.generations.reduce((bits, { done }, at) => bits | (step.get(done) << at), 0)
}

function generationsSwept(step: Step): number {
  return step.layout.generations.reduce((bits, { winner }, at) => bits | (step.get(winner) ? 1 << at : 0), 0)
}

/** Chunks that the index has now, to a writer that saw these fences and these generations done and swept. */
function knownNow(step: Step, fenced: number, done: number, generation: number, swept: number): number {
  const { layout, rules, state } = step
  const slots = rules.sweepCommitsRepack ? winningSlots(layout, state, swept) : -1
  const named = packsNamed(layout, step.get(layout.segments), rules.ignoreFenced ? fenced : 0, slots)
  const gone = rules.ignoreSwept ? packsSwept(layout, state, swept) : 0
  return chunksIn(layout, state, named & ~gone & ~condemned(step, done, generation))
}

function condemned(step: Step, done: number, generation: number): number {
  const { layout, rules } = step
  let packs = 0
  if (!rules.ignoreCondemned) return packs
  for (let at = 0; at < generation; at++)
    if (((done >>> at) & 1) === 0) packs |= step.get(layout.generations[at]!.condemned)
  return packs
}

/** Chunks of the packs that went while the index was listed and whose `.done` is there by now. */
function unhidden(step: Step, fields: WriterFields, done: number): number {
  const { layout, state } = step
  let packs = 0
  layout.generations.forEach(({ dropped }, at) => {
    if (((done & ~step.get(fields.seenDone)) >>> at) & 1) packs |= step.get(dropped)
  })
  return chunksIn(layout, state, packs)
}
