import { type BlockTarget, PlatterError } from '@platter/core'
import type { RestoreOptions, RestoreStats } from '../api/restore-types.ts'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import { DAMAGE } from '../check/damage.ts'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { BLOCK_BYTES } from '../format/limits.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { onlyVolume } from '../snapshots/only-volume.ts'
import { mergedRanges } from '../tree/byte-ranges.ts'
import { regionsPerNode } from '../tree/tree-shape.ts'
import { idAt, VolumeTree } from '../tree/volume-tree.ts'

/** Chunks read ahead. */
const CONCURRENCY = 4
/** Restored bytes are written in pieces of this size. */
const PIECE_BYTES = 1024 * 1024

/** What a partial restore needs of an open repository. */
export interface PartialRestoreContext {
  readonly config: RepositoryConfig
  readonly reader: BlobReader
}

/**
 * Restores what there is of a damaged snapshot, from whichever copies are intact, each chunk checked against its id;
 * what is not there becomes zeros and is reported. It works in one thread, in the order of the image: it is for
 * getting back what is left, not for every day.
 */
export async function partialRestore(
  context: PartialRestoreContext,
  snapshot: Snapshot,
  target: BlockTarget,
  options: RestoreOptions,
): Promise<RestoreStats> {
  return await new PartialRestore(context, snapshot, target, options).run()
}

class PartialRestore {
  readonly #target: BlockTarget
  readonly #options: RestoreOptions
  readonly #signal: AbortSignal
  readonly #tree: VolumeTree
  readonly #reader: BlobReader
  readonly #started = performance.now()
  readonly #damaged: ByteRange[] = []
  readonly #piece = new Uint8Array(PIECE_BYTES)
  #pieceOffset = 0
  #filled = 0
  #blank = false
  #bytesWritten = 0
  #bytesZeroed = 0
  #lastProgress = 0

  constructor(
    context: PartialRestoreContext,
    snapshot: Snapshot,
    target: BlockTarget,
    options: RestoreOptions,
  ) {
    const volume = onlyVolume(snapshot)
    const { capacityBytes, label } = target.info
    if (capacityBytes !== undefined && capacityBytes < volume.sizeBytes) {
      throw new PlatterError(
        'ERR_TARGET_TOO_SMALL',
        `The target ${label} holds ${capacityBytes} bytes, but the image has ${volume.sizeBytes}; nothing was written.`,
        { expected: volume.sizeBytes, actual: capacityBytes },
      )
    }
    const { onlyDifferent = false, range, except = [], unused, journal } = options
    if (onlyDifferent || range || except.length > 0 || unused === 'keep' || journal) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        'A partial restore writes all that is left of an image; it cannot be limited to a part of it, or to what differs.',
      )
    }
    this.#target = target
    this.#options = options
    this.#signal = options.signal ?? new AbortController().signal
    this.#reader = context.reader
    this.#tree = new VolumeTree(this.#reader, volume, context.config.regionBytes)
  }

  async run(): Promise<RestoreStats> {
    const { sizeBytes, root, level } = this.#tree
    this.#signal.throwIfAborted()
    this.#blank = (await this.#target.prepare(sizeBytes)).blank
    if (root !== undefined) await this.#node(root, level, 0)
    await this.#flush()
    await this.#target.flush()
    this.#progress(sizeBytes)
    return {
      bytesTotal: sizeBytes,
      bytesWritten: this.#bytesWritten,
      bytesZeroed: this.#bytesZeroed,
      bytesUnchanged: 0,
      bytesLeft: 0,
      damagedRanges: mergedRanges(this.#damaged),
      seconds: (performance.now() - this.#started) / 1000,
    }
  }

  async #node(id: Uint8Array, level: number, region: number): Promise<void> {
    this.#signal.throwIfAborted()
    const { regionBytes, sizeBytes } = this.#tree
    const offset = region * regionBytes
    if (level === 0) {
      const leaf = await this.#unlessDamaged(this.#tree.leaf(id, region, this.#signal))
      if (leaf === undefined) await this.#lost(offset, this.#tree.regionLength(region))
      else await this.#leaf(leaf, offset)
      this.#progress(offset + this.#tree.regionLength(region))
      return
    }
    const children = await this.#unlessDamaged(this.#tree.children(id, level, region, this.#signal))
    if (children === undefined) {
      await this.#lost(offset, Math.min(regionsPerNode(level) * regionBytes, sizeBytes - offset))
      return
    }
    for (const child of children) {
      const from = child.region * regionBytes
      const length = Math.min(child.regions * regionBytes, sizeBytes - from)
      if (child.id === undefined) await this.#zero(from, length)
      else await this.#node(child.id, level - 1, child.region)
    }
  }

  async #leaf(leaf: TreeNode, offset: number): Promise<void> {
    const runs: { readonly id: Uint8Array | undefined; readonly length: number }[] = []
    let stored = 0
    leaf.kinds.forEach((kind, i) => {
      const id = kind === RUN.stored ? idAt(leaf.ids, stored++) : undefined
      runs.push({ id, length: leaf.spans[i]! })
    })
    const read = async ({ id }: (typeof runs)[number]): Promise<Uint8Array | undefined> =>
      id === undefined
        ? undefined
        : await this.#unlessDamaged(this.#reader.read(id, BLOB_TYPE.chunk, this.#signal))
    let at = offset
    let run = 0
    for await (const chunk of mapConcurrently(runs, CONCURRENCY, read)) {
      const { id, length } = runs[run++]!
      if (id === undefined) await this.#zero(at, length)
      else if (chunk?.length === length) await this.#append(at, chunk)
      else await this.#lost(at, length)
      at += length
    }
  }

  async #unlessDamaged<T>(reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading
    } catch (error) {
      this.#signal.throwIfAborted()
      const { code } = error instanceof PlatterError ? error : { code: undefined }
      if (code === undefined || !DAMAGE.has(code)) throw error
      return undefined
    }
  }

  /** Zeros in the place of what is not there. */
  async #lost(offset: number, length: number): Promise<void> {
    this.#damaged.push({ offset, length })
    const end = offset + length
    const isAligned = offset % BLOCK_BYTES === 0 && (end % BLOCK_BYTES === 0 || end === this.#tree.sizeBytes)
    if (isAligned) {
      await this.#zero(offset, length)
      return
    }
    // A target's zeros are for whole blocks; these stand between chunks.
    const zeros = new Uint8Array(Math.min(length, PIECE_BYTES))
    for (let at = offset; at < end; at += zeros.length)
      await this.#append(at, zeros.subarray(0, Math.min(zeros.length, end - at)))
  }

  async #zero(offset: number, length: number): Promise<void> {
    await this.#flush()
    this.#bytesZeroed += length
    if (this.#blank && !this.#target.sequential) return
    await this.#target.zero(offset, length, { signal: this.#signal })
  }

  async #append(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#filled === 0) this.#pieceOffset = offset
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + PIECE_BYTES - this.#filled)
      this.#piece.set(part, this.#filled)
      this.#filled += part.length
      from += part.length
      if (this.#filled === PIECE_BYTES) await this.#flush()
    }
  }

  async #flush(): Promise<void> {
    if (this.#filled === 0) return
    await this.#target.write(this.#pieceOffset, this.#piece.subarray(0, this.#filled), {
      signal: this.#signal,
    })
    this.#bytesWritten += this.#filled
    this.#pieceOffset += this.#filled
    this.#filled = 0
  }

  #progress(bytesDone: number): void {
    const { onProgress, progressMillis = 100 } = this.#options
    const now = performance.now()
    const isEnd = bytesDone === this.#tree.sizeBytes
    if (onProgress === undefined || (now - this.#lastProgress < progressMillis && !isEnd)) return
    this.#lastProgress = now
    const seconds = (now - this.#started) / 1000
    onProgress({ bytesDone, bytesTotal: this.#tree.sizeBytes, bytesWritten: this.#bytesWritten, seconds })
  }
}
