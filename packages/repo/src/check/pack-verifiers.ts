import { fromTransported } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { WorkerPool } from '../workers/worker-pool.ts'
import type { CheckReply, CheckRequest } from './check-protocol.ts'

/** Workers that verify packs. They take a while to start, so it is worth while to make them before they are needed. */
export class PackVerifiers implements AsyncDisposable {
  readonly #pool: WorkerPool<CheckRequest, CheckReply>
  /** Packs that each worker has. */
  readonly #load: number[]
  readonly #waiting = new Map<string, Waiting>()
  #failure: { readonly error: unknown } | undefined

  /** @param workers 0 works in the calling thread. */
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
