import { BOTH, CHUNK_A, CHUNKS, type Chunks, FIRST_PACK_SET, FIRST_PACKS } from './bounds.ts'
import type { Rules } from './rules.ts'
import { ABANDONED, COMMITTED, FENCED, get, type State, type StateLayout } from './state-layout.ts'

/** Chunks in a pack. */
export function contentOf(layout: StateLayout, state: State, pack: number): Chunks {
  const field = layout.contents[pack]
  return field === undefined ? FIRST_PACKS[pack]! : get(state, field)
}

/** All chunks in a set of packs. */
export function chunksIn(layout: StateLayout, state: State, packs: number): Chunks {
  let chunks = 0
  for (let rest = packs; rest !== 0 && chunks !== BOTH; rest &= rest - 1)
    chunks |= contentOf(layout, state, lowest(rest))
  return chunks
}

/** Those of a set of packs that hold a chunk. */
export function holdersOf(layout: StateLayout, state: State, packs: number, chunk: Chunks): number {
  let holders = 0
  for (let rest = packs; rest !== 0; rest &= rest - 1) {
    const pack = lowest(rest)
    if (contentOf(layout, state, pack) & chunk) holders |= 1 << pack
  }
  return holders
}

/**
 * Packs that a set of index segments names.
 *
 * @param ignoredSessions those whose segments do not count, by session number.
 * @param slots collectors' segments that count, by slot.
 */
export function packsNamed(
  layout: StateLayout,
  segments: number,
  ignoredSessions: number,
  slots: number,
): number {
  const sessions = (segments & ~ignoredSessions & ((1 << layout.sessionCount) - 1)) >>> 1
  let packs = (segments & 1 ? FIRST_PACK_SET : 0) | (sessions << layout.writerPacks)
  for (let slot = 0, rest = segments >>> layout.sessionCount; rest !== 0; slot++, rest >>>= 3) {
    if (((slots >>> slot) & 1) === 0) continue
    packs |= (rest >>> 1) & FIRST_PACK_SET
    if (rest & 1) packs |= 1 << (layout.collectorPacks + slot)
  }
  return packs
}

/** Index segments without any entry of some packs. The first segment goes as a whole. */
export function segmentsWithout(layout: StateLayout, segments: number, packs: number): number {
  let kept = segments & ~(((packs >>> layout.writerPacks) & ((1 << (layout.sessionCount - 1)) - 1)) << 1)
  if (packs & FIRST_PACK_SET) kept &= ~1
  const slotCount = layout.packCount - layout.collectorPacks
  for (let slot = 0; slot < slotCount; slot++) {
    const dropped = ((packs & FIRST_PACK_SET) << 1) | ((packs >>> (layout.collectorPacks + slot)) & 1)
    kept &= ~(dropped << (layout.sessionCount + 3 * slot))
  }
  return kept
}

/** Slots of collectors whose sweep was published, among the given generations. */
export function winningSlots(layout: StateLayout, state: State, generations: number): number {
  let slots = 0
  layout.generations.forEach(({ winner }, at) => {
    const collector = get(state, winner) - 1
    const isCollectors = collector >= 0 && collector !== ABANDONED - 1
    if ((generations >>> at) & 1 && isCollectors) slots |= 1 << layout.slot(collector, at + 1)
  })
  return slots
}

/** Packs that the sweeps of the given generations remove. */
export function packsSwept(layout: StateLayout, state: State, generations: number): number {
  let packs = 0
  layout.generations.forEach(({ winner, dropped }, at) => {
    if ((generations >>> at) & 1 && get(state, winner) !== 0) packs |= get(state, dropped)
  })
  return packs
}

/** Number of the newest mark, 0 where there is none. */
export function newestGeneration(layout: StateLayout, state: State): number {
  let newest = 0
  while (newest < layout.generations.length && get(state, layout.generations[newest]!.marked)) newest++
  return newest
}

/** Sessions of which the given statuses say so: by session number. */
export function sessionsWith(layout: StateLayout, statuses: number, status: number): number {
  let sessions = 0
  for (let session = 0; session < layout.sessionCount; session++)
    if (((statuses >>> (2 * session)) & 3) === status) sessions |= 1 << session
  return sessions
}

/** Chunks that committed snapshots need. */
export function liveChunks(layout: StateLayout, statuses: number): Chunks {
  let live = 0
  for (let session = 0; session < layout.sessionCount; session++)
    if (((statuses >>> (2 * session)) & 3) === COMMITTED) live |= layout.needs[session]!
  return live
}

/** Whether every committed snapshot that is not forgotten can be restored. */
export function isSafe(layout: StateLayout, state: State, rules: Rules): boolean {
  const statuses = get(state, layout.allSnapshots)
  const live = liveChunks(layout, statuses)
  if (live === 0) return true
  const ignored = rules.readFenced ? 0 : sessionsWith(layout, statuses, FENCED)
  const slots = rules.sweepCommitsRepack ? winningSlots(layout, state, -1) : -1
  const named = packsNamed(layout, get(state, layout.segments), ignored, slots)
  const readable =
    named & get(state, layout.present) & (rules.ignoreSwept ? ~packsSwept(layout, state, -1) : -1)
  return (live & ~chunksIn(layout, state, readable)) === 0
}

/** Calls with every outcome of a listing: what changed while it ran, each bit may be seen as before or as after. */
export function forEachMix(before: number, after: number, take: (seen: number) => void): void {
  const changed = before ^ after
  for (let part = changed; ; part = (part - 1) & changed) {
    take(before ^ part)
    if (part === 0) return
  }
}

/**
 * The same for a listing of snapshots: what changed is two bits each. Where what cannot be read counts as absent, each
 * may be missing as well.
 */
export function forEachSnapshots(
  rules: Rules,
  before: number,
  after: number,
  take: (seen: number) => void,
): void {
  forEachStatusMix(before, after, take)
  if (rules.stopOnUnreadable) return
  for (let unread = 3; unread <= (before | after); unread <<= 2)
    forEachStatusMix(before & ~unread, after & ~unread, take)
}

function forEachStatusMix(before: number, after: number, take: (seen: number) => void): void {
  const changed = before ^ after
  const sessions = (changed | (changed >>> 1)) & 0x55555555
  for (let part = sessions; ; part = (part - 1) & sessions) {
    const mask = part | (part << 1)
    take((before & ~mask) | (after & mask))
    if (part === 0) return
  }
}

/** Calls with every way to choose one pack for each of the chunks. Chunks that no pack holds are left out. */
export function forEachChoice(
  layout: StateLayout,
  state: State,
  packs: number,
  chunks: Chunks,
  take: (chosen: number) => void,
): void {
  const choose = (at: number, chosen: number): void => {
    const chunk = CHUNKS[at]
    if (chunk === undefined) {
      take(chosen)
      return
    }
    const holders = chunks & chunk ? holdersOf(layout, state, packs, chunk) : 0
    if (holders === 0) {
      choose(at + 1, chosen)
      return
    }
    for (let rest = holders; rest !== 0; rest &= rest - 1) choose(at + 1, chosen | (1 << lowest(rest)))
  }
  choose(CHUNKS.indexOf(CHUNK_A), 0)
}

/** Number of the lowest bit that is set. */
export function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}
