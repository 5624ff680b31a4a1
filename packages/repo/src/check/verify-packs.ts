import { type ErrorCode, getInto, type PackId, PlatterError, type ReadableStore } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { MAX_PACK_FILE_BYTES } from '../format/limits.ts'
import { packName } from '../format/object-names.ts'
import type { PackProblem } from './check-protocol.ts'
import { DAMAGE } from './damage.ts'
import { PackBuffers } from './pack-buffers.ts'
import type { PackVerifiers } from './pack-verifiers.ts'

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
  readonly verifiers: PackVerifiers
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
  { store, verifiers, signal }: VerifyPacksInput,
): AsyncGenerator<VerifiedPack> {
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
