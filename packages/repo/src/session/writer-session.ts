import {
  encodeRecord,
  newSessionId,
  PlatterError,
  type RandomSource,
  RECORD_TYPE,
  type ReadableStore,
  type SessionId,
  type WritableStore,
} from '@platter/core'
import type { Snapshot } from '../api/snapshot-types.ts'
import { sessionName, snapshotName } from '../format/object-names.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import { decodeSnapshot, encodeSnapshot } from '../format/snapshot-record.ts'

const VERSION = 1
const GC_PREFIX = 'gc/'

/**
 * One run of a writer, from its intent to its commit. The intent tells collectors which generation of garbage
 * collection the writer knew when it began (docs/architecture.md, Sessions).
 */
export class WriterSession {
  readonly id: SessionId
  readonly generation: number
  readonly #objects: SealedStore<WritableStore>

  private constructor(objects: SealedStore<WritableStore>, id: SessionId, generation: number) {
    this.#objects = objects
    this.id = id
    this.generation = generation
  }

  /**
   * Declares a new session. Only what is listed after this resolved may be relied on: the generation is read again
   * after the intent is durable, and the intent written anew until it did not move in between.
   */
  static async begin(
    objects: SealedStore<WritableStore>,
    random: RandomSource,
    signal: AbortSignal,
  ): Promise<WriterSession> {
    const { store, records } = objects
    const id = newSessionId(random)
    let generation = await newestGeneration(store, signal)
    for (let intent = 0; ; intent++) {
      const name = sessionName(id, intent)
      const record = records.seal(RECORD_TYPE.session, name, encodeRecord({ version: VERSION, generation }))
      if ((await store.putIfAbsent(name, record, { signal })) === 'exists') {
        throw new PlatterError('ERR_STORE_IO', `The object ${name} exists although this session is new.`, {
          object: name,
        })
      }
      const now = await newestGeneration(store, signal)
      if (now === generation) return new WriterSession(objects, id, generation)
      generation = now
    }
  }

  /**
   * Creates the snapshot. This one write is the commit. When it fails for another reason than a fence, the
   * snapshot may stand nevertheless, whole, because only the store's answer was lost.
   *
   * @throws ERR_SESSION_FENCED when a collector took the session's place; then nothing was committed.
   */
  async commit(snapshot: Snapshot, signal: AbortSignal): Promise<number> {
    const { store, records } = this.#objects
    const record = encodeSnapshot(snapshot, records)
    // Read as a reader will: a snapshot that cannot be read would stand in the way of every listing.
    decodeSnapshot(snapshot.id, new Uint8Array(Buffer.concat(record)), records)
    const outcome = await store.putIfAbsent(snapshotName(this.id), record, { signal })
    if (outcome === 'exists') {
      throw new PlatterError(
        'ERR_SESSION_FENCED',
        `The session ${this.id} was ended by a prune because it seemed dead; nothing was committed. Run the backup again.`,
        { object: snapshotName(this.id) },
      )
    }
    return record.reduce((sum, part) => sum + part.length, 0)
  }
}

/** Number of the newest mark, 0 where there was no prune yet. */
async function newestGeneration(store: ReadableStore, signal: AbortSignal): Promise<number> {
  let newest = 0
  for await (const { name } of store.list(GC_PREFIX, { signal })) {
    const match = /^gc\/([0-9]+)\.mark$/.exec(name)
    if (match !== null) newest = Math.max(newest, Number(match[1]))
  }
  return newest
}
