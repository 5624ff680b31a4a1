import { BOTH, type Bounds, CHUNK_A } from './bounds.ts'
import type { Rules } from './rules.ts'

/** One writer, one collector that may die and begin again. */
export const ONE_WRITER: Bounds = { writers: [[BOTH]], collectors: 1, generations: 2 }
export const CHECKPOINT: Bounds = { writers: [[CHUNK_A, BOTH]], collectors: 1, generations: 2 }
export const TWO_WRITERS: Bounds = { writers: [[BOTH], [BOTH]], collectors: 1, generations: 2 }
export const TWO_COLLECTORS: Bounds = { writers: [[BOTH]], collectors: 2, generations: 2 }
export const THREE_GENERATIONS: Bounds = { writers: [[BOTH]], collectors: 1, generations: 3 }

/** The protocol with one rule taken out, which loses data within the bounds. */
export interface Mutant {
  readonly name: string
  readonly without: keyof Rules
  readonly bounds: Bounds
}

export const MUTANTS: readonly Mutant[] = [
  { name: 'noreread', without: 'reread', bounds: ONE_WRITER },
  { name: 'nowait', without: 'wait', bounds: ONE_WRITER },
  { name: 'leaseonly', without: 'commitOnce', bounds: ONE_WRITER },
  { name: 'norescue', without: 'rescue', bounds: ONE_WRITER },
  { name: 'cachedindex', without: 'freshIndex', bounds: ONE_WRITER },
  { name: 'trustfenced', without: 'ignoreFenced', bounds: TWO_WRITERS },
  { name: 'earlyfences', without: 'fencesAfterIntent', bounds: TWO_WRITERS },
  { name: 'ignorecondemned', without: 'ignoreCondemned', bounds: ONE_WRITER },
  { name: 'latedone', without: 'doneBeforeIndex', bounds: ONE_WRITER },
  { name: 'noadopt', without: 'adoptSweep', bounds: TWO_COLLECTORS },
  { name: 'nofinish', without: 'finishFirst', bounds: TWO_COLLECTORS },
  { name: 'trustloser', without: 'sweepCommitsRepack', bounds: TWO_COLLECTORS },
  { name: 'laterepack', without: 'repackBeforeSweep', bounds: CHECKPOINT },
  { name: 'nosurvivors', without: 'nameSurvivors', bounds: ONE_WRITER },
  { name: 'unseencopies', without: 'copiesPresent', bounds: THREE_GENERATIONS },
  { name: 'dropfence', without: 'keepFences', bounds: ONE_WRITER },
  { name: 'keepclaims', without: 'reloadClaims', bounds: CHECKPOINT },
  { name: 'earlysessions', without: 'sessionsAfterMark', bounds: ONE_WRITER },
  { name: 'earlysnapshots', without: 'snapshotsAfterWait', bounds: ONE_WRITER },
  { name: 'earlydone', without: 'doneLast', bounds: ONE_WRITER },
  { name: 'blindreaders', without: 'readFenced', bounds: CHECKPOINT },
  { name: 'unreadable', without: 'stopOnUnreadable', bounds: ONE_WRITER },
  { name: 'samenames', without: 'freshPackNames', bounds: ONE_WRITER },
  { name: 'baredone', without: 'abandonBySweep', bounds: ONE_WRITER },
  { name: 'rashdone', without: 'abandonAdopts', bounds: ONE_WRITER },
]

/** Rules that the protocol has for other reasons: without one of them, nothing is lost within the bounds tried. */
export const SPARE_RULES: readonly (keyof Rules)[] = [
  'spareOpen',
  'indexBeforePacks',
  'snapshotsBeforeIndex',
  'stopOnMissing',
]
