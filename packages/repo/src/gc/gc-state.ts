import { PlatterError, type ReadableStore } from '@platter/core'
import { decodeMark, decodeSweep, type MarkRecord, type SweepRecord } from '../format/gc-records.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import { GC_PREFIX, gcName, gcStepOfName, INDEX_PREFIX } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'

/** How far the garbage collection of a repository has come. Only the newest generation can be unfinished. */
export interface GcState {
  /** Number of the newest generation, 0 where there was no prune yet. */
  readonly newest: number
  readonly newestSwept: boolean
  /** No generation is unfinished. */
  readonly idle: boolean
}

/** Reads the names under `gc/`. */
export async function readGcState(store: ReadableStore, signal: AbortSignal): Promise<GcState> {
  const found = new Set<string>()
  let newest = 0
  for await (const { name } of store.list(GC_PREFIX, { signal })) {
    const step = gcStepOfName(name)
    if (step === undefined) continue
    found.add(name)
    // Whatever stands of it: a generation whose mark is gone must not begin anew and find its old sweep.
    newest = Math.max(newest, step.generation)
  }
  // A mark is published only after the generation before it is done, so those need no look.
  return {
    newest,
    newestSwept: found.has(gcName(newest, 'sweep')),
    idle: newest === 0 || found.has(gcName(newest, 'done')),
  }
}

/** @throws ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION, and what the store throws. */
export async function readMark(
  { store, records }: SealedStore,
  generation: number,
  signal: AbortSignal,
): Promise<MarkRecord> {
  const bytes = await store.get(gcName(generation, 'mark'), { maxBytes: MAX_RECORD_BYTES, signal })
  return decodeMark(generation, bytes, records)
}

/**
 * What the mark of a generation that has ended says to the next prune. These are hints, so a mark that is damaged or
 * gone says nothing, and stops nothing.
 *
 * @throws what the store throws.
 */
export async function readHints(
  objects: SealedStore,
  generation: number,
  signal: AbortSignal,
): Promise<MarkRecord | undefined> {
  if (generation === 0) return undefined
  try {
    return await readMark(objects, generation, signal)
  } catch (error) {
    if (PlatterError.is(error, 'ERR_CORRUPT_RECORD') || PlatterError.is(error, 'ERR_NOT_FOUND'))
      return undefined
    throw error
  }
}

/** @throws ERR_NOT_FOUND, ERR_CORRUPT_RECORD, ERR_UNSUPPORTED_VERSION, and what the store throws. */
export async function readSweep(
  { store, records }: SealedStore,
  generation: number,
  signal: AbortSignal,
): Promise<SweepRecord> {
  const bytes = await store.get(gcName(generation, 'sweep'), { maxBytes: MAX_RECORD_BYTES, signal })
  return decodeSweep(generation, bytes, records)
}

/**
 * The sweep of a generation that is to be carried out.
 *
 * @throws ERR_CORRUPT_RECORD, which says what can be done; ERR_NOT_FOUND, ERR_UNSUPPORTED_VERSION, and what the store
 * throws.
 */
export async function readPendingSweep(
  objects: SealedStore,
  generation: number,
  signal: AbortSignal,
): Promise<SweepRecord> {
  try {
    return await readSweep(objects, generation, signal)
  } catch (error) {
    if (!PlatterError.is(error, 'ERR_CORRUPT_RECORD')) throw error
    // Who has read it while it was whole may be removing what it names, so no other may be put in its place meanwhile.
    const name = gcName(generation, 'sweep')
    throw new PlatterError(
      'ERR_CORRUPT_RECORD',
      `${error.message} It says what prune number ${generation}, which has not ended, removes. Put a copy of ${name} back. If there is none: see to it that no prune is running anywhere, remove that object, and run a prune.`,
      { ...error.details, object: name, cause: error },
    )
  }
}

/** Times something is looked at again because another collector changed it meanwhile. */
const MAX_TRIES = 8

/**
 * Calls `look`, and once more when it missed something while another collector was at work: objects that were listed
 * may then be gone, and what takes their place be listed only now. A repair replaces index segments, too, and no record
 * says so; but each was listed a moment ago.
 */
export async function lookBesideCollectors<Result>(
  store: ReadableStore,
  signal: AbortSignal,
  look: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    const before = await readGcState(store, signal)
    try {
      return await look()
    } catch (error) {
      const isMissing = PlatterError.is(error, 'ERR_NOT_FOUND') || PlatterError.is(error, 'ERR_CHUNK_MISSING')
      if (!isMissing || attempt === MAX_TRIES) throw error
      if (error.details.object?.startsWith(INDEX_PREFIX)) continue
      const now = await readGcState(store, signal)
      const unmoved = now.newest === before.newest && now.newestSwept === before.newestSwept
      if (unmoved && (before.idle || !before.newestSwept) && now.idle === before.idle) throw error
    }
  }
}
