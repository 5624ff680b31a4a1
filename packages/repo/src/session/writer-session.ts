import {
  newSessionId,
  PlatterError,
  type RandomSource,
  type SessionId,
  type WritableStore,
} from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { END_INTENT, gcName, sessionName, snapshotName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { encodeSession } from '../format/session-record.ts'
import { decodeSnapshot, encodeSnapshot } from '../format/snapshot-record.ts'
import { readGcState } from '../gc/gc-state.ts'

/** Times the generations are listed again because one is there that was not listed. */
const MAX_LISTINGS = 8

/** A store that does not answer must not hold up what has failed already. */
const MAX_ABANDON_MILLIS = 10_000

/** What a session needs besides the store. */
export interface SessionSurroundings {
  readonly random: RandomSource
  readonly now: () => Date
}

/**
 * One run of a writer, from its intent to its commit. The intent tells collectors which generation of garbage
 * collection the writer knew when it began (docs/architecture.md, Sessions).
 */
export class WriterSession {
  readonly id: SessionId
  readonly generation: number
  readonly #objects: SealedStore<WritableStore>
  readonly #now: () => Date
  readonly #end: readonly Uint8Array[]
  #intents: number
  #timer: NodeJS.Timeout | undefined
  #unlisten: (() => void) | undefined

  private constructor(
    objects: SealedStore<WritableStore>,
    id: SessionId,
    generation: number,
    intents: number,
    now: () => Date,
  ) {
    this.#objects = objects
    this.id = id
    this.generation = generation
    this.#intents = intents
    this.#now = now
    // Sealed now: when it is needed, the keys may be gone.
    const end = { generation, timeMillis: now().getTime(), ended: true }
    this.#end = encodeSession(sessionName(id, END_INTENT), end, objects.records)
  }

  /**
   * Declares a new session. Only what is listed after this resolved may be relied on: the generation is read again
   * after the intent is durable, and the intent written anew until it did not move in between. Lists are what all this
   * rests on, so the one object that a prune would begin with is also looked for by its name.
   *
   * @throws ERR_STORE_IO when the store does not list what it has.
   */
  static async begin(
    objects: SealedStore<WritableStore>,
    { random, now }: SessionSurroundings,
    signal: AbortSignal,
  ): Promise<WriterSession> {
    const { store, records } = objects
    const id = newSessionId(random)
    let generation = (await readGcState(store, signal)).newest
    try {
      for (let intent = 0; ; intent++) {
        const name = sessionName(id, intent)
        const record = encodeSession(name, { generation, timeMillis: now().getTime(), ended: false }, records)
        if ((await store.putIfAbsent(name, record, { signal })) === 'exists') throw sessionTaken(name)
        const { newest } = await readGcState(store, signal)
        const next = gcName(newest + 1, 'mark')
        const isListed = (await store.stat(next, { signal })) === undefined
        if (isListed && newest === generation)
          return new WriterSession(objects, id, generation, intent + 1, now)
        // A prune may have begun since the list; the next one has to show it.
        if (!isListed && intent >= MAX_LISTINGS) throw notListed(store, next)
        generation = newest
      }
    } catch (error) {
      // An intent may stand that nobody gives signs of life for; prunes would wait for it.
      await new WriterSession(objects, id, generation, 0, now).abandon()
      throw error
    }
  }

  /**
   * Gives a sign of life now and then, until the session ends or `signal` is aborted.
   *
   * @param onFenced called when the session turns out to have been ended by a collector.
   */
  keepAlive(everyMillis: number, signal: AbortSignal, onFenced: (error: PlatterError) => void): void {
    const beat = async (): Promise<void> => {
      if (signal.aborted) return
      try {
        await this.#beat(signal)
        if ((await this.#objects.store.stat(snapshotName(this.id), { signal })) !== undefined) {
          // Not when the session has just committed.
          if (this.#timer !== undefined) onFenced(sessionFenced(this.id))
        }
      } catch {
        // The next one may come through; missing ones cost at worst the session, never data.
      }
    }
    this.#timer = setInterval(() => void beat(), everyMillis)
    this.#timer.unref()
    const stop = (): void => this.#stopBeating()
    signal.addEventListener('abort', stop, { once: true })
    this.#unlisten = () => signal.removeEventListener('abort', stop)
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { store, records } = this.#objects
    // The generation stays the one of the intent: what the writer relies on was read then.
    const name = sessionName(this.id, this.#intents++)
    const beat = { generation: this.generation, timeMillis: this.#now().getTime(), ended: false }
    await store.putIfAbsent(name, encodeSession(name, beat, records), { signal })
  }

  /**
   * Creates the snapshot. This one write is the commit. When it fails for another reason than a fence, the
   * snapshot may stand nevertheless, whole, because only the store's answer was lost.
   *
   * @throws ERR_SESSION_FENCED when a collector took the session's place; then nothing was committed.
   */
  async commit(snapshot: Snapshot, signal: AbortSignal): Promise<number> {
    this.#stopBeating()
    const { store, records } = this.#objects
    const record = encodeSnapshot(snapshot, records)
    // Read as a reader will: a snapshot that cannot be read would stand in the way of every listing.
    decodeSnapshot(snapshot.id, new Uint8Array(Buffer.concat(record)), records)
    const outcome = await store.putIfAbsent(snapshotName(this.id), record, { signal })
    if (outcome === 'exists') throw sessionFenced(this.id)
    return record.reduce((sum, part) => sum + part.length, 0)
  }

  /** Says that the session will never commit, so that no collector waits for it. Its failure is of no consequence. */
  async abandon(): Promise<void> {
    this.#stopBeating()
    const signal = AbortSignal.timeout(MAX_ABANDON_MILLIS)
    const name = sessionName(this.id, END_INTENT)
    await this.#objects.store.putIfAbsent(name, this.#end, { signal }).catch(() => undefined)
  }

  #stopBeating(): void {
    clearInterval(this.#timer)
    this.#unlisten?.()
    this.#timer = undefined
  }
}

function sessionFenced(id: SessionId): PlatterError {
  return new PlatterError(
    'ERR_SESSION_FENCED',
    `The session ${id} was ended by a prune because it seemed dead; nothing was committed. Run the backup again.`,
    { object: snapshotName(id) },
  )
}

function notListed({ label }: WritableStore, name: string): PlatterError {
  return new PlatterError(
    'ERR_STORE_IO',
    `The store ${label} has the object ${name} and does not list it. Nothing can be relied on in such a store.`,
    { object: name },
  )
}

function sessionTaken(name: string): PlatterError {
  return new PlatterError('ERR_STORE_IO', `The object ${name} exists although this session is new.`, {
    object: name,
  })
}
