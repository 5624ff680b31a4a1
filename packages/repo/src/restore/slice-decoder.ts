import {
  type BlockScanner,
  createBlockScanner,
  createHasher,
  createKernels,
  type Hasher,
  PlatterError,
  releaseMemory,
} from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOCK_BYTES } from '../format/limits.ts'
import { BlobOpener } from '../pack/blob-opener.ts'
import type { FetchedBlob } from '../pack/fetched-blob.ts'
import { DIGEST_BYTES } from '../tree/region-digest.ts'
import type { PieceOutput } from './piece-output.ts'
import type { RestoreTask } from './restore-protocol.ts'

/** Restored bytes are written and digested in windows of this size. */
export const WINDOW_BYTES: number = 1024 * 1024

/** What became of a slice. */
export interface DecodedSlice {
  /** Digests of all blocks written, in order; empty when nothing is digested. */
  readonly digests: Uint8Array<ArrayBuffer>
  readonly bytesWritten: number
  /** Found on the target already. */
  readonly bytesUnchanged: number
}

/** Finds another copy of a chunk and gives its plaintext, checked; undefined when the restore has failed. */
export type FindCopy = (id: Uint8Array) => Promise<Uint8Array | undefined>

/**
 * Decodes slices: decompresses blobs, checks each against its id, and writes them out in large pieces. What is
 * written is digested block by block, independently of ids and cuts, for the check against the image digest.
 */
export class SliceDecoder {
  readonly #scanner: BlockScanner
  readonly #window: Uint8Array
  readonly #hasher: Hasher
  readonly #opener: BlobOpener
  readonly #output: PieceOutput
  readonly #findCopy: FindCopy
  readonly #digesting: boolean
  #digests = new Uint8Array(0)
  #digestsEnd = 0
  /** Image offset of the window's first byte; a multiple of the block size. */
  #windowOffset = 0
  #filled = 0
  #bytesWritten = 0
  #bytesUnchanged = 0

  constructor(keys: RepositoryKeys, output: PieceOutput, findCopy: FindCopy, digesting: boolean) {
    this.#scanner = createBlockScanner({
      key: keys.blockDigest,
      kernels: createKernels({ slabBytes: WINDOW_BYTES }),
    })
    this.#window = this.#scanner.slab
    this.#hasher = createHasher(keys.chunkId)
    this.#opener = new BlobOpener(keys.pack)
    this.#output = output
    this.#findCopy = findCopy
    this.#digesting = digesting
  }

  /**
   * Restores one slice; undefined when the restore failed meanwhile.
   *
   * @throws ERR_CORRUPT_NODE, and what the output throws.
   */
  async decode(task: RestoreTask): Promise<DecodedSlice | undefined> {
    this.#bytesWritten = 0
    this.#bytesUnchanged = 0
    this.#digests = new Uint8Array(this.#digesting ? Math.ceil(task.length / BLOCK_BYTES) * DIGEST_BYTES : 0)
    this.#digestsEnd = 0
    let at = task.offset
    this.#windowOffset = at
    this.#filled = 0
    for (const run of task.runs) {
      if (run.type === 'write') {
        const blob = task.blobs[run.blob]!
        const chunk = this.#chunk(blob) ?? (await this.#findCopy(blob.id))
        if (chunk === undefined) return undefined
        assertLength(chunk, run.length)
        await this.#append(task, chunk)
        // What is stored as it is lies in memory that other blobs share.
        if (chunk.buffer !== blob.sealed?.buffer) releaseMemory(chunk)
      } else {
        // Data ends on a block border before a hole, so the window's tail is whole blocks.
        await this.#flush(task)
        this.#windowOffset = at + run.length
      }
      at += run.length
    }
    await this.#flush(task)
    for (const { sealed } of task.blobs) if (sealed !== undefined) releaseMemory(sealed)
    return {
      digests: this.#digests.slice(0, this.#digestsEnd),
      bytesWritten: this.#bytesWritten,
      bytesUnchanged: this.#bytesUnchanged,
    }
  }

  /** Plaintext of a fetched chunk, or undefined when this copy of it is damaged or could not be read. */
  #chunk(blob: FetchedBlob): Uint8Array | undefined {
    if (blob.sealed === undefined) return undefined
    return this.#opener.open(blob, blob.packSalt, blob.sealed, this.#hasher)
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
    if (this.#digesting) this.#digestWindow()
    const piece = this.#window.subarray(0, this.#filled)
    const { written, unchanged } = await this.#output.write(task.slice, this.#windowOffset, piece)
    this.#bytesWritten += written
    this.#bytesUnchanged += unchanged
    this.#windowOffset += this.#filled
    this.#filled = 0
  }

  #digestWindow(): void {
    const blocks = Math.ceil(this.#filled / BLOCK_BYTES)
    this.#window.fill(0, this.#filled, blocks * BLOCK_BYTES)
    this.#scanner.scan(0, blocks)
    this.#digests.set(this.#scanner.digests.subarray(0, blocks * DIGEST_BYTES), this.#digestsEnd)
    this.#digestsEnd += blocks * DIGEST_BYTES
  }
}

function assertLength(chunk: Uint8Array, length: number): void {
  if (chunk.length === length) return
  throw new PlatterError('ERR_CORRUPT_NODE', `A leaf gives a chunk ${length} bytes that has ${chunk.length}.`)
}
