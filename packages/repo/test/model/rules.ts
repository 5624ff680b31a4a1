/** The rules of the protocol that can be taken out, one by one, to see that each is needed and that the model sees it. */
export interface Rules {
  /** The generation is read again after the intent, and the intent written anew until it did not move. */
  readonly reread: boolean
  /** Every session with an older intent commits or is fenced before the sweep. */
  readonly wait: boolean
  /** A commit fails where a fence stands. */
  readonly commitOnce: boolean
  /** The last copy of a live chunk is taken off the list of what goes. */
  readonly rescue: boolean
  /** The index is listed after the intent is settled. */
  readonly freshIndex: boolean
  /** Writers ignore the index segments of fenced sessions. */
  readonly ignoreFenced: boolean
  /** Writers ignore packs that a mark without `.done` condemns. */
  readonly ignoreCondemned: boolean
  /** A collector that finds a sweep published does what that one says. */
  readonly adoptSweep: boolean
  /** Packs of open sessions are not condemned. */
  readonly spareOpen: boolean
  /** Fences stay for ever. */
  readonly keepFences: boolean
  /** After a checkpoint, claims are kept only if the new session's generation is the one they were loaded at. */
  readonly reloadClaims: boolean
  /** Segments of a collector count only once a sweep names it as the winner. */
  readonly sweepCommitsRepack: boolean
  /** Repacked packs and replaced segments are durable before the sweep. */
  readonly repackBeforeSweep: boolean
  /** An index segment that goes is replaced by one that names the packs it listed that stay. */
  readonly nameSurvivors: boolean
  /** Sessions are listed after the mark is published. */
  readonly sessionsAfterMark: boolean
  /** The second listing of snapshots begins after the last older session is closed. */
  readonly snapshotsAfterWait: boolean
  /** Collectors list snapshots to the end before they begin with the index and packs. */
  readonly snapshotsBeforeIndex: boolean
  /** Writers list `gc/` to the end before they begin with the index. */
  readonly doneBeforeIndex: boolean
  /** Writers list fences after their intent is settled. */
  readonly fencesAfterIntent: boolean
  /** `.done` is written when all is removed, not before. */
  readonly doneLast: boolean
  /** Index entries go before packs. */
  readonly indexBeforePacks: boolean
  /** Readers look into the index segments of fenced sessions too. */
  readonly readFenced: boolean
  /** A collector counts a copy only if it saw the pack itself, not just an index entry. */
  readonly copiesPresent: boolean
  /** What is listed but cannot be read stops the collector, instead of being taken for absent. */
  readonly stopOnUnreadable: boolean
  /** A live chunk of which no copy is seen stops the collector. */
  readonly stopOnMissing: boolean
  /** A pack's name is never used again. */
  readonly freshPackNames: boolean
  /** A generation begins only when the one before is done. */
  readonly finishFirst: boolean
  /** Who ends a generation before its sweep publishes an empty sweep, so that no other can be published any more. */
  readonly abandonBySweep: boolean
  /** Who wants to do so and finds a sweep published does not end the generation before that one is carried out. */
  readonly abandonAdopts: boolean
  /** Everyone ignores index entries of packs that a published sweep removes, for ever. Not part of the protocol. */
  readonly ignoreSwept: boolean
}

export const PROTOCOL: Rules = Object.freeze({
  reread: true,
  wait: true,
  commitOnce: true,
  rescue: true,
  freshIndex: true,
  ignoreFenced: true,
  ignoreCondemned: true,
  adoptSweep: true,
  spareOpen: true,
  keepFences: true,
  reloadClaims: true,
  sweepCommitsRepack: true,
  repackBeforeSweep: true,
  nameSurvivors: true,
  sessionsAfterMark: true,
  snapshotsAfterWait: true,
  snapshotsBeforeIndex: true,
  doneBeforeIndex: true,
  fencesAfterIntent: true,
  doneLast: true,
  indexBeforePacks: true,
  readFenced: true,
  copiesPresent: true,
  stopOnUnreadable: true,
  stopOnMissing: true,
  freshPackNames: true,
  finishFirst: true,
  abandonBySweep: true,
  abandonAdopts: true,
  ignoreSwept: false,
})

export function without(rule: keyof Rules): Rules {
  return Object.freeze({ ...PROTOCOL, [rule]: false })
}

/**
 * Another protocol that is safe: sweeps are tombstones of packs. An index entry without its pack then harms nobody, and
 * the rules that keep such entries from being believed can go.
 */
export const TOMBSTONES: Rules = Object.freeze({
  ...PROTOCOL,
  ignoreSwept: true,
  ignoreFenced: false,
  fencesAfterIntent: false,
  sweepCommitsRepack: false,
  copiesPresent: false,
})
