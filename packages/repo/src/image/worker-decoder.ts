import { fromTransported, PlatterError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { BlobDecoder } from '../pack/blob-reader.ts'
import type { FetchedBlob } from '../pack/fetched-blob.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { DecodeReply, DecodeRequest } from './decode-protocol.ts'

interface Batch {
  readonly worker: number
  readonly resolve: (plains: readonly (Uint8Array | undefined)[]) => void
  readonly reject: (error: unknown) => void
}

/** Decodes chunks in worker threads, which start with the first chunk and end when it is closed. */
export class WorkerDecoder implements BlobDecoder {
  readonly #workers: number
  readonly #keys: RepositoryKeys
  readonly #batches = new Map<number, Batch>()
  /** Batches that each worker has to do. */
  readonly #load: number[]
  #pool: WorkerPool<DecodeRequest, DecodeReply> | undefined
  #nextBatch = 0
  #failure: unknown

  constructor(workers: number, keys: RepositoryKeys) {
    this.#workers = workers
    this.#keys = keys
    this.#load = new Array<number>(workers).fill(0)
  }

  /** @throws ERR_WORKER_FAILED, ERR_CLOSED */
  async decode(blobs: readonly FetchedBlob[]): Promise<readonly (Uint8Array | undefined)[]> {
    if (this.#failure !== undefined) throw this.#failure
    this.#pool ??= new WorkerPool(
      this.#workers,
      () => ({ kind: 'decode', keys: this.#keys }),
      (_, reply) => this.#receive(reply),
      (error) => this.#fail(error),
    )
    const worker = this.#load.indexOf(Math.min(...this.#load))
    const batch = this.#nextBatch++
    const buffers = new Set(blobs.flatMap(({ sealed }) => (sealed ? [sealed.buffer as ArrayBuffer] : [])))
    return await new Promise((resolve, reject) => {
      this.#batches.set(batch, { worker, resolve, reject })
      this.#load[worker]!++
      this.#pool!.links[worker]!.post({ batch, blobs }, [...buffers])
    })
  }

  /** Ends the workers. What they have not decoded fails. */
  async close(): Promise<void> {
    this.#fail(new PlatterError('ERR_CLOSED', 'The image has been closed.'))
    await this.#pool?.close()
  }

  #receive(reply: DecodeReply): void {
    const batch = this.#batches.get(reply.batch)
    if (batch === undefined) return
    this.#batches.delete(reply.batch)
    this.#load[batch.worker]!--
    if (reply.type === 'decoded') batch.resolve(reply.plains)
    else batch.reject(fromTransported(reply.error))
  }

  #fail(error: unknown): void {
    this.#failure ??= error
    for (const { reject } of this.#batches.values()) reject(this.#failure)
    this.#batches.clear()
  }
}
