import {
  type BlockScanner,
  CODEC,
  createBlockScanner,
  createHasher,
  createKernels,
  decompress,
  type Hasher,
  PlatterError,
  releaseMemory,
} from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOCK_BYTES } from '../format/limits.ts'
import { corruptBlob } from '../pack/blob-reader.ts'
import { DIGEST_BYTES, RegionDigest } from '../tree/region-digest.ts'
import type { PieceOutput } from './piece-output.ts'
import type { FetchedBlob, RestoreTask } from './restore-protocol.ts'

/** Restored bytes are written and digested in windows of this size. */
export const WINDOW_BYTES: number = 1024 * 1024

/**
 * Decodes regions: decompresses blobs, checks each against its id, and writes them out in large pieces. What is
 * written is digested block by block, independently of ids and cuts, for the check against the image digest.
 */
export class RegionDecoder {
  readonly #scanner: BlockScanner
  readonly #window: Uint8Array
  readonly #hasher: Hasher
  readonly #digest: RegionDigest
  readonly #output: PieceOutput
  /** Image offset of the window's first byte; a multiple of the block size. */
  #windowOffset = 0
  #filled = 0
  #bytesWritten = 0
  #digesting = true

  constructor(regionBytes: number, keys: RepositoryKeys, output: PieceOutput) {
    this.#scanner = createBlockScanner({
      key: keys.blockDigest,
      kernels: createKernels({ slabBytes: WINDOW_BYTES }),
    })
    this.#window = this.#scanner.slab
    this.#hasher = createHasher(keys.chunkId)
    this.#digest = new RegionDigest(regionBytes, keys.imageDigest, this.#scanner.zeroDigest)
    this.#output = output
  }

  /**
   * Restores one region.
   *
   * @returns its digest (undefined when all zero, or when runs were kept) and how much was written.
   * @throws ERR_CORRUPT_BLOB, and what the output throws.
   */
  async decode(task: RestoreTask): Promise<{ digest: Uint8Array | undefined; bytesWritten: number }> {
    this.#bytesWritten = 0
    // Between chunks that are kept nothing lies on block borders, and what is kept is not seen here.
    this.#digesting = task.runs.every(({ type }) => type !== 'keep')
    let at = task.offset
    this.#windowOffset = at
    this.#filled = 0
    for (const run of task.runs) {
      const from = at - task.offset
      if (run.type === 'write') {
        const blob = task.blobs[run.blob]!
        const chunk = decodeChunk(blob, run.length, this.#hasher)
        await this.#append(task, chunk)
        // What is stored as it is lies in memory that other blobs share.
        if (blob.codec !== CODEC.none) releaseMemory(chunk)
      } else {
        // Data ends on a block border before a hole, so the window's tail is whole blocks.
        await this.#flush(task)
        this.#windowOffset = at + run.length
        if (this.#digesting) this.#digest.zeros(from, from + run.length)
      }
      at += run.length
    }
    await this.#flush(task)
    for (const { stored } of task.blobs) releaseMemory(stored)
    const digest = this.#digesting ? this.#digest.finish(task.length) : undefined
    return { digest, bytesWritten: this.#bytesWritten }
  }

  async #append(task: RestoreTask, chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length; ) {
      const part = chunk.subarray(from, from + WINDOW_BYTES - this.#filled)
      this.#window.set(part, this.#filled)
      this.#filled += part.length
      from += part.length
      if (this.#filled === WINDOW_BYTES) await this.#flush(task)
    }
  }

  async #flush(task: RestoreTask): Promise<void> {
    if (this.#filled === 0) return
    if (this.#digesting) this.#digestWindow(task)
    await this.#output.write(task.region, this.#windowOffset, this.#window.subarray(0, this.#filled))
    this.#bytesWritten += this.#filled
    this.#windowOffset += this.#filled
    this.#filled = 0
  }

  #digestWindow(task: RestoreTask): void {
    const blocks = Math.ceil(this.#filled / BLOCK_BYTES)
    this.#window.fill(0, this.#filled, blocks * BLOCK_BYTES)
    this.#scanner.scan(0, blocks)
    const digests = this.#scanner.digests.subarray(0, blocks * DIGEST_BYTES)
    this.#digest.set(this.#windowOffset - task.offset, digests)
  }
}

/** Plaintext of a fetched chunk. @throws ERR_CORRUPT_BLOB */
export function decodeChunk(blob: FetchedBlob, length: number, hasher: Hasher): Uint8Array {
  let plain: Uint8Array
  try {
    plain = decompress(blob.codec, blob.stored, blob.rawBytes)
  } catch (cause) {
    throw corruptBlob(blob.id, blob.pack, blob.offset, cause)
  }
  if (Buffer.compare(hasher.hash(plain), blob.id) !== 0) throw corruptBlob(blob.id, blob.pack, blob.offset)
  if (plain.length !== length) {
    throw new PlatterError(
      'ERR_CORRUPT_NODE',
      `A leaf gives a chunk ${length} bytes that has ${plain.length}.`,
    )
  }
  return plain
}
