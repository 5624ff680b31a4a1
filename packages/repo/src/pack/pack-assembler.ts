import { type CodecNumber, createHasher, type PackId, packIdFrom, SUITE } from '@platter/core'
import type { BlobEntry, BlobType } from '../format/blob-entry.ts'
import { ENTRIES_PER_PACK } from '../format/limits.ts'
import { type PackCipher, sealOverheadBytes } from '../format/pack-cipher.ts'
import { PACK_HEADER_BYTES, packFileBytes, writePackEnd, writePackHeader } from '../format/pack-file.ts'

/** A pack ready to be stored: `file` spans `memory` up to `fileBytes`. */
export interface SealedPack {
  readonly id: PackId
  readonly memory: ArrayBuffer
  readonly fileBytes: number
  readonly entries: readonly BlobEntry[]
}

/**
 * Puts blobs into a pack, in memory, sealed as its cipher does. Pure: it neither reads nor writes anything else. The memory is given by the
 * caller and handed on with the sealed pack, so that it can travel between threads without a copy.
 */
export class PackAssembler {
  readonly #memory: ArrayBuffer
  readonly #file: Uint8Array
  readonly #cipher: PackCipher
  readonly #entries: BlobEntry[] = []
  #end = PACK_HEADER_BYTES

  /** @param cipher of this pack alone: its salt must never have been used for another. */
  constructor(memory: ArrayBuffer, cipher: PackCipher) {
    this.#memory = memory
    this.#file = new Uint8Array(memory)
    this.#cipher = cipher
    writePackHeader(this.#file, cipher)
  }

  /** Bytes of the blobs so far. */
  get blobBytes(): number {
    return this.#end - PACK_HEADER_BYTES
  }

  get entries(): readonly BlobEntry[] {
    return this.#entries
  }

  /**
   * Whether it is time to close it. What is filled up is closed a little earlier: then it rarely comes to be just longer
   * than `packBytes`, of which the next length to fill up to is far away.
   */
  isFull(packBytes: number): boolean {
    const marginBytes = this.#cipher.suite === SUITE.none ? 0 : packBytes / 64
    return this.blobBytes >= packBytes - marginBytes
  }

  /** Whether so many bytes of blobs, as their codec made them, still fit with the directory. */
  fits(bytes: number, blobs = 1): boolean {
    const { suite } = this.#cipher
    if (this.#entries.length + blobs > ENTRIES_PER_PACK) return false
    const blobBytes = this.blobBytes + bytes + blobs * sealOverheadBytes(suite)
    return packFileBytes(blobBytes, this.#entries.length + blobs, suite) <= this.#file.length
  }

  /** Seals a blob and appends it; the caller has made sure that it fits. `id` is kept, `stored` only read. */
  append(id: Uint8Array, type: BlobType, codec: CodecNumber, stored: Uint8Array, rawBytes: number): void {
    const storedBytes = stored.length + sealOverheadBytes(this.#cipher.suite)
    const entry: BlobEntry = { id, type, codec, offset: this.#end, storedBytes, rawBytes }
    this.#cipher.sealBlob(this.#file, entry, stored)
    this.#entries.push(entry)
    this.#end += storedBytes
  }

  /** What the codec made of the blob appended last, read back; undefined when it cannot be opened again. */
  readBackLast(): Uint8Array | undefined {
    const entry = this.#entries.at(-1)!
    return this.#cipher.openBlob(entry, this.#file.subarray(entry.offset, entry.offset + entry.storedBytes))
  }

  /** Fills it up, writes directory and trailer, and names the pack by the hash of its bytes. The assembler is spent. */
  seal(): SealedPack {
    const fileBytes = writePackEnd(this.#file, this.#end, this.#entries, this.#cipher)
    const id = packIdFrom(createHasher().hash(this.#file.subarray(0, fileBytes)))
    return { id, memory: this.#memory, fileBytes, entries: this.#entries }
  }
}
