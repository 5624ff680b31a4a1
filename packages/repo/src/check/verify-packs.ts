import {
  type ErrorCode,
  fromTransported,
  getInto,
  type PackId,
  PlatterError,
  type ReadableStore,
} from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { CheckReply, CheckRequest, PackProblem } from './check-protocol.ts'
import { DAMAGE } from './damage.ts'
import { PackBuffers } from './pack-buffers.ts'

/** A pack that was read whole. */
export interface VerifiedPack {
  readonly id: PackId
  readonly name: string
  /** Bytes read; 0 when the pack could not be. */
  readonly bytesRead: number
  readonly problems: readonly (Omit<PackProblem, 'code'> & { readonly code: ErrorCode })[]
}

export interface VerifyPacksInput {
  readonly store: ReadableStore
  readonly keys: RepositoryKeys
  /** 0 works in the calling thread. */
  readonly workers: number
  readonly signal: AbortSignal
}

/**
 * Reads packs whole and has workers verify every blob in them; gives them in the order in which they were asked for.
 * One pack for each worker is being verified at a time, and one more is read meanwhile.
 *
 * @param sizes the packs, and how long the store says that they are.
 * @throws what the store throws, unless it says something of the pack.
 */
export async function* verifyPacks(
  sizes: ReadonlyMap<PackId, number>,
  { store, keys, workers, signal }: VerifyPacksInput,
): AsyncGenerator<VerifiedPack> {
  await using verifiers = new Verifiers(keys, workers)
  const longestBytes = [...sizes.values()].reduce((most, bytes) => Math.max(most, bytes), 0)
  const buffers = new PackBuffers(verifiers.count + 1, Math.min(longestBytes, MAX_PACK_FILE_BYTES))
  const verify = async (id: PackId): Promise<VerifiedPack> => {
    const name = packName(id)
    const into = await buffers.take()
    let file: Uint8Array
    try {
      file = await getInto(store, name, into, { maxBytes: MAX_PACK_FILE_BYTES, signal })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
      buffers.give(into)
      const { code, message } = error
      return { id, name, bytesRead: 0, problems: [{ code, message, blob: undefined }] }
    }
    const bytesRead = file.length
    const { problems } = await verifiers.verify(name, file)
    buffers.give(into)
    return { id, name, bytesRead, problems }
  }
  // What fails, fails all: those that wait for memory would not get it any more.
  const verifyOrEnd = (id: PackId): Promise<VerifiedPack> =>
    verify(id).catch((error: unknown) => {
      buffers.end(error)
      throw error
    })
  // More at once than there is memory for: a pack that takes long does not keep the others' results from going by.
  yield* mapConcurrently(sizes.keys(), 2 * (verifiers.count + 1), verifyOrEnd)
}

/** Workers that verify packs. */
class Verifiers implements AsyncDisposable {
  readonly #pool: WorkerPool<CheckRequest, CheckReply>
  /** Packs that each worker has. */
  readonly #load: number[]
  readonly #waiting = new Map<string, Waiting>()
  #failure: { readonly error: unknown } | undefined

  constructor(keys: RepositoryKeys, workers: number) {
    this.#pool = new WorkerPool<CheckRequest, CheckReply>(
      workers,
      () => ({ kind: 'check', keys }),
      (worker, reply) => this.#receive(worker, reply),
      (error) => this.#fail(error),
    )
    this.#load = this.#pool.links.map(() => 0)
  }

  get count(): number {
    return this.#pool.links.length
  }

  /** Has a pack verified, by the worker that has least to do. Memory that is not shared goes there for good. */
  async verify(name: string, file: Uint8Array): Promise<Verified> {
    // Nobody would answer for what is posted to a worker that has ended.
    if (this.#failure !== undefined) throw this.#failure.error
    const worker = this.#load.indexOf(Math.min(...this.#load))
    this.#load[worker]!++
    return await new Promise((resolve, reject) => {
      this.#waiting.set(name, { resolve, reject })
      const { buffer } = file
      this.#pool.links[worker]!.post({ name, file }, buffer instanceof ArrayBuffer ? [buffer] : [])
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close()
  }

  #receive(worker: number, reply: CheckReply): void {
    this.#load[worker]!--
    if (reply.type === 'error') {
      this.#fail(fromTransported(reply.error))
      return
    }
    this.#waiting.get(reply.name)?.resolve(reply)
    this.#waiting.delete(reply.name)
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}

type Verified = Pick<CheckReply & { type: 'checked' }, 'problems'>

interface Waiting {
  readonly resolve: (verified: Verified) => void
  readonly reject: (error: unknown) => void
}
