import { type BlockTarget, createHasher, type Hasher } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { MAX_CHUNK_BYTES } from '../format/limits.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import { idAt, type TreeRegion, type VolumeTree } from '../tree/volume-tree.ts'
import { type Comparison, compareRegion, isChunk, isZero } from './compare-region.ts'
import type { CompareTask } from './restore-protocol.ts'
import { type RestoreScope, restoredBytes } from './restore-scope.ts'

/** Bytes of a stretch without data that an audit looks at. */
const AUDITED_ZERO_BYTES = 64 * 1024

/** Compares regions with what the target holds: in workers, where these can read it, several at a time. */
export class TargetComparison {
  readonly #target: BlockTarget
  readonly #scope: RestoreScope
  readonly #signal: AbortSignal
  readonly #hasher: Hasher
  readonly #post: (task: CompareTask) => void
  readonly #waiting = new Map<number, (same: Uint8Array) => void>()
  #scratch: Uint8Array | undefined

  /** @param post hands a task to a worker, whose answer comes by `receive`. */
  constructor(
    target: BlockTarget,
    scope: RestoreScope,
    keys: RepositoryKeys,
    post: (task: CompareTask) => void,
    signal: AbortSignal,
  ) {
    this.#target = target
    this.#scope = scope
    this.#hasher = createHasher(keys.chunkId)
    this.#post = post
    this.#signal = signal
  }

  /** 1 for each run of a region that needs no work. */
  async compare(region: number, offset: number, leaf: TreeNode): Promise<Uint8Array> {
    const task = { region, offset, kinds: leaf.kinds, spans: leaf.spans, ids: leaf.ids }
    if (this.#target.direct === undefined) return await compareRegion(task, this.#comparison())
    this.#signal.throwIfAborted()
    return await new Promise((resolve, reject) => {
      const onAbort = (): void => reject(this.#signal.reason)
      this.#signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.set(region, (same) => {
        this.#signal.removeEventListener('abort', onAbort)
        resolve(same)
      })
      this.#post(task)
    })
  }

  receive(region: number, same: Uint8Array): void {
    this.#waiting.get(region)?.(same)
    this.#waiting.delete(region)
  }

  /** Whether a sample of what an earlier attempt restored, from region `from` to before `to`, is there. */
  async audit(tree: VolumeTree, from: number, to: number): Promise<boolean> {
    for await (const item of tree.walk(this.#signal, from, to))
      if (!(await this.#isSampleThere(item, tree))) return false
    return true
  }

  /** Reads from the target, at its own offsets, until `into` is full or the target ends. */
  readonly read = async (offset: number, into: Uint8Array): Promise<number> => {
    let done = 0
    while (done < into.length) {
      const got = await this.#target.read!(offset + done, into.subarray(done), { signal: this.#signal })
      if (got === 0) break
      done += got
    }
    return done
  }

  async #isSampleThere(item: TreeRegion, tree: VolumeTree): Promise<boolean> {
    const offset = item.region * tree.regionBytes
    if (item.kind !== RUN.stored) {
      if (item.kind === RUN.unused && this.#scope.keepUnused) return true
      return await isZero(this.#comparison(), offset, Math.min(AUDITED_ZERO_BYTES, tree.sizeBytes - offset))
    }
    const chunks = this.#wholeChunks(item.leaf, offset)
    const chunk = chunks[Math.floor(chunks.length / 2)]
    return chunk === undefined || (await isChunk(this.#comparison(), chunk.at, chunk.length, chunk.id))
  }

  #wholeChunks(leaf: TreeNode, offset: number): { at: number; length: number; id: Uint8Array }[] {
    const chunks: { at: number; length: number; id: Uint8Array }[] = []
    let at = offset
    let stored = 0
    for (let i = 0; i < leaf.kinds.length; i++) {
      const length = leaf.spans[i]!
      if (leaf.kinds[i] === RUN.stored) {
        const id = idAt(leaf.ids, stored++)
        if (restoredBytes(this.#scope, at, length) === length) chunks.push({ at, length, id })
      }
      at += length
    }
    return chunks
  }

  #comparison(): Comparison {
    this.#scratch ??= new Uint8Array(MAX_CHUNK_BYTES)
    return { scope: this.#scope, read: this.read, hasher: this.#hasher, scratch: this.#scratch }
  }
}
