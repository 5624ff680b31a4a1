import type { CollectorFields } from './state-layout.ts'
import type { Step } from './step.ts'

/** Where a collector is in its generation. */
export const AT = Object.freeze({
  idle: 0,
  /** Listing snapshots; then index and packs. */
  markSnapshots: 1,
  markIndex: 2,
  /** About to publish the mark. */
  mark: 3,
  sessions: 4,
  wait: 5,
  sweepSnapshots: 6,
  sweepIndex: 7,
  /** About to store a repacked pack, the segment that names it, the sweep. */
  repack: 8,
  segment: 9,
  sweep: 10,
  /** The first of three: index entries, packs, end of the generation. */
  dropFirst: 11,
})

/** Starts a successor in which the collector is somewhere else. */
export function fork(step: Step, fields: CollectorFields, at: number): void {
  step.fork()
  step.set(fields.at, at)
  step.set(fields.listed, 0)
}

/** Makes the collector of the successor forget all. */
export function end(step: Step, fields: CollectorFields): void {
  for (const field of Object.values(fields)) step.set(field, 0)
}

/** Sessions whose intent is of an older generation. */
export function olderSessions(step: Step, intents: number, generation: number): number {
  let sessions = 0
  for (let session = 0; session < step.layout.sessionCount; session++) {
    const intent = (intents >>> (3 * session)) & 7
    if (intent !== 0 && intent <= generation) sessions |= 1 << session
  }
  return sessions
}
