import { type ErrorCode, fromTransported, type PackId, PlatterError, type ReadableStore } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { CheckReply, CheckRequest, PackProblem } from './check-protocol.ts'
import { DAMAGE } from './damage.ts'

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
 *
 * @throws what the store throws, unless it says something of the pack.
 */
export async function* verifyPacks(
  ids: readonly PackId[],
  { store, keys, workers, signal }: VerifyPacksInput,
): AsyncGenerator<VerifiedPack> {
  const waiting = new Map<string, Waiting>()
  let failure: { readonly error: unknown } | undefined
  const failAll = (error: unknown): void => {
    failure ??= { error }
    for (const { reject } of waiting.values()) reject(error)
  }
  await using pool = new WorkerPool<CheckRequest, CheckReply>(
    workers,
    () => ({ kind: 'check', keys }),
    (worker, reply) => {
      load[worker]!--
      if (reply.type === 'error') {
        failAll(fromTransported(reply.error))
        return
      }
      waiting.get(reply.name)?.resolve(reply.problems)
      waiting.delete(reply.name)
    },
    failAll,
  )
  const load = pool.links.map(() => 0)
  const verify = async (id: PackId): Promise<VerifiedPack> => {
    const name = packName(id)
    let file: Uint8Array<ArrayBuffer>
    try {
      file = await store.get(name, { maxBytes: MAX_PACK_FILE_BYTES, signal })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
      const { code, message } = error
      return { id, name, bytesRead: 0, problems: [{ code, message, blob: undefined }] }
    }
    // Nobody would answer for what is posted to a worker that has ended.
    if (failure !== undefined) throw failure.error
    const bytesRead = file.length
    const worker = load.indexOf(Math.min(...load))
    load[worker]!++
    const problems = await new Promise<readonly PackProblem[]>((resolve, reject) => {
      waiting.set(name, { resolve, reject })
      pool.links[worker]!.post({ name, file }, [file.buffer])
    })
    return { id, name, bytesRead, problems }
  }
  // One pack for each worker to verify, and one that is being read.
  yield* mapConcurrently(ids, pool.links.length + 1, verify)
}

interface Waiting {
  readonly resolve: (problems: readonly PackProblem[]) => void
  readonly reject: (error: unknown) => void
}
