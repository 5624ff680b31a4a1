import { encodeRecord, PlatterError, RECORD_TYPE, type SnapshotId, type WritableStore } from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import {
  FORGET_PREFIX,
  forgetName,
  forgottenIdOfName,
  SNAPSHOTS_PREFIX,
  snapshotIdOfName,
  snapshotName,
} from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { decodeSnapshot, isFence } from '../format/snapshot-record.ts'

const CONCURRENCY = 16
const FORGET_VERSION = 1
/** Shortest prefix of an id that names a snapshot. */
const MIN_PREFIX_LENGTH = 4

/** What makes one snapshot unreadable, and says nothing of others. */
const UNREADABLE: ReadonlySet<string> = new Set([
  'ERR_CORRUPT_SNAPSHOT',
  'ERR_UNSUPPORTED_VERSION',
  'ERR_UNSUPPORTED_FEATURE',
])

/** Which snapshots to list; every field given must fit. */
export interface SnapshotFilter {
  readonly name?: string
  readonly host?: string
  readonly tag?: string
  /** Also checkpoints: what a long backup had stored before it was finished. Default false. */
  readonly checkpoints?: boolean
}

/** The committed snapshots of a repository that are not forgotten. */
export class SnapshotCatalog {
  readonly #objects: SealedStore
  /** Snapshots never change, so one read is enough. */
  readonly #read = new Map<SnapshotId, Snapshot>()

  constructor(objects: SealedStore) {
    this.#objects = objects
  }

  /** Ids of all snapshots and fences, in no order. Names are enough for this; nothing is read. */
  async ids(signal?: AbortSignal): Promise<SnapshotId[]> {
    const options = signal === undefined ? {} : { signal }
    const forgotten = new Set<SnapshotId>()
    // Tombstones first: a snapshot forgotten in between is then listed, never one missed.
    for await (const { name } of this.#objects.store.list(FORGET_PREFIX, options)) {
      const id = forgottenIdOfName(name)
      if (id !== undefined) forgotten.add(id)
    }
    const ids: SnapshotId[] = []
    for await (const { name } of this.#objects.store.list(SNAPSHOTS_PREFIX, options)) {
      const id = snapshotIdOfName(name)
      if (id !== undefined && !forgotten.has(id)) ids.push(id)
    }
    return ids
  }

  /**
   * The snapshot of that id, or undefined where a fence stands in its place.
   *
   * @throws ERR_CORRUPT_SNAPSHOT and what the store throws.
   */
  async find(id: SnapshotId, signal?: AbortSignal): Promise<Snapshot | undefined> {
    const known = this.#read.get(id)
    if (known !== undefined) return known
    const options = { maxBytes: MAX_RECORD_BYTES, ...(signal === undefined ? {} : { signal }) }
    const bytes = await this.#objects.store.get(snapshotName(id), options)
    if (isFence(id, bytes, this.#objects.records)) return undefined
    const snapshot = decodeSnapshot(id, bytes, this.#objects.records)
    this.#read.set(id, snapshot)
    return snapshot
  }

  /**
   * Snapshots that fit, oldest first.
   *
   * @param onDamaged told of snapshots that cannot be read, which are then left out; without it the first is thrown.
   */
  async list(
    filter: SnapshotFilter = {},
    signal?: AbortSignal,
    onDamaged?: (error: PlatterError) => void,
  ): Promise<Snapshot[]> {
    const read = async (id: SnapshotId): Promise<Snapshot | undefined> => {
      try {
        return await this.find(id, signal)
      } catch (error) {
        if (onDamaged === undefined || !(error instanceof PlatterError && UNREADABLE.has(error.code)))
          throw error
        onDamaged(error)
        return undefined
      }
    }
    const found: Snapshot[] = []
    for await (const snapshot of mapConcurrently(await this.ids(signal), CONCURRENCY, read)) {
      if (snapshot !== undefined && fits(snapshot, filter)) found.push(snapshot)
    }
    return found.sort(byTime)
  }

  /**
   * Finds a snapshot by its id, by a prefix of it, or as 'latest' or 'latest:NAME'.
   *
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS, ERR_CORRUPT_SNAPSHOT
   */
  async resolve(reference: string, signal?: AbortSignal): Promise<Snapshot> {
    const snapshot = await this.find(await this.resolveId(reference, signal), signal)
    if (snapshot === undefined)
      throw notFound(reference, 'The backup of that id was ended by a prune before it was complete.')
    return snapshot
  }

  /**
   * Like `resolve`, for the id alone. A snapshot that is named by its id is not read, so that a damaged one can be
   * named too.
   *
   * @throws ERR_SNAPSHOT_NOT_FOUND, ERR_SNAPSHOT_AMBIGUOUS
   */
  async resolveId(reference: string, signal?: AbortSignal): Promise<SnapshotId> {
    if (reference === 'latest') return await this.#latest({}, reference, signal)
    if (reference.startsWith('latest:'))
      return await this.#latest({ name: reference.slice(7) }, reference, signal)
    const prefix = reference.toLowerCase()
    if (!/^[0-9a-f]+$/.test(prefix) || prefix.length < MIN_PREFIX_LENGTH || prefix.length > 32) {
      throw notFound(
        reference,
        `A snapshot is named by its id, ${MIN_PREFIX_LENGTH} or more of its first digits, 'latest' or 'latest:NAME'.`,
      )
    }
    const candidates = (await this.ids(signal)).filter((id) => id.startsWith(prefix))
    const [first, ...others] = candidates
    if (first === undefined) throw notFound(reference, 'List the snapshots to see which there are.')
    if (others.length > 0) {
      throw new PlatterError(
        'ERR_SNAPSHOT_AMBIGUOUS',
        `'${reference}' fits ${candidates.length} snapshots; give more digits of the id.`,
        { candidates: candidates.sort() },
      )
    }
    return first
  }

  async #latest(
    filter: SnapshotFilter,
    reference: string,
    signal: AbortSignal | undefined,
  ): Promise<SnapshotId> {
    const newest = (await this.list(filter, signal)).at(-1)
    if (newest === undefined) throw notFound(reference, 'List the snapshots to see which there are.')
    return newest.id
  }
}

/** Marks a snapshot as forgotten. Doing so twice is harmless. */
export async function writeTombstone(
  { store, records }: SealedStore<WritableStore>,
  id: SnapshotId,
  signal?: AbortSignal,
): Promise<void> {
  const name = forgetName(id)
  const record = records.seal(RECORD_TYPE.forget, name, encodeRecord({ version: FORGET_VERSION }))
  await store.putIfAbsent(name, record, signal === undefined ? {} : { signal })
}

function fits(snapshot: Snapshot, { name, host, tag, checkpoints }: SnapshotFilter): boolean {
  return (
    (checkpoints === true || !snapshot.checkpoint) &&
    (name === undefined || snapshot.name === name) &&
    (host === undefined || snapshot.host === host) &&
    (tag === undefined || snapshot.tags.includes(tag))
  )
}

function byTime(a: Snapshot, b: Snapshot): number {
  return Date.parse(a.time) - Date.parse(b.time) || (a.id < b.id ? -1 : 1)
}

function notFound(reference: string, advice: string): PlatterError {
  return new PlatterError('ERR_SNAPSHOT_NOT_FOUND', `There is no snapshot '${reference}'. ${advice}`)
}
