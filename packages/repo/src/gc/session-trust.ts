import { PlatterError, type SessionId } from '@platter/core'
import { decodeFence } from '../format/gc-records.ts'
import { MAX_FENCE_BYTES, MAX_RECORD_BYTES } from '../format/limits.ts'
import { SNAPSHOTS_PREFIX, snapshotIdOfName, snapshotName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { readSweep } from './gc-state.ts'

/**
 * How a session stands. `open`: it may still commit. `committed`: a snapshot stands under its name, or, for a
 * collector's, the sweep it published. `fenced`: it will never commit; what its index segments say may be wrong by now.
 */
export type SessionStanding = 'open' | 'committed' | 'fenced'

/** Tells how sessions stand, from one listing of the names under `snapshots/`. */
export class SessionTrust {
  readonly #objects: SealedStore
  readonly #sizes: ReadonlyMap<SessionId, number>
  readonly #known = new Map<SessionId, SessionStanding>()

  private constructor(objects: SealedStore, sizes: ReadonlyMap<SessionId, number>) {
    this.#objects = objects
    this.#sizes = sizes
  }

  /** Lists the names; fences among them are read when they are asked for. */
  static async list(objects: SealedStore, signal: AbortSignal): Promise<SessionTrust> {
    const sizes = new Map<SessionId, number>()
    for await (const { name, sizeBytes } of objects.store.list(SNAPSHOTS_PREFIX, { signal })) {
      const id = snapshotIdOfName(name)
      if (id !== undefined) sizes.set(id, sizeBytes)
    }
    return new SessionTrust(objects, sizes)
  }

  /** Whether a session can commit no more, because it did or because a fence stands in its place. */
  isFinished(session: SessionId): boolean {
    return this.#sizes.has(session)
  }

  /**
   * Where a fence, or the sweep it refers to, cannot be read, the session counts as fenced: what only it lists is not
   * relied on, and the next prune lists it anew.
   *
   * @throws ERR_UNSUPPORTED_VERSION, and what the store throws.
   */
  async standing(session: SessionId, signal: AbortSignal): Promise<SessionStanding> {
    const known = this.#known.get(session)
    if (known !== undefined) return known
    const standing = await this.#find(session, signal)
    this.#known.set(session, standing)
    return standing
  }

  async #find(session: SessionId, signal: AbortSignal): Promise<SessionStanding> {
    const sizeBytes = this.#sizes.get(session)
    if (sizeBytes === undefined) return 'open'
    if (sizeBytes > MAX_FENCE_BYTES) return 'committed'
    const { store, records } = this.#objects
    const bytes = await store.get(snapshotName(session), { maxBytes: MAX_RECORD_BYTES, signal })
    try {
      const { collectorOf } = decodeFence(session, bytes, records)
      if (collectorOf === undefined) return 'fenced'
      const sweep = await readSweep(this.#objects, collectorOf, signal)
      return sweep.session === session ? 'committed' : 'fenced'
    } catch (error) {
      if (PlatterError.is(error, 'ERR_NOT_FOUND') || PlatterError.is(error, 'ERR_CORRUPT_RECORD'))
        return 'fenced'
      throw error
    }
  }
}
