import { type CodecNumber, createHasher, type PackId, packIdFrom } from '@platter/core'
import type { BlobEntry, BlobType } from '../format/blob-entry.ts'
import { PACK_HEADER_BYTES, packEndBytes, writePackEnd, writePackHeader } from '../format/pack-file.ts'

/** A pack ready to be stored: `file` spans `memory` up to `fileBytes`. */
export interface SealedPack {
  readonly id: PackId
  readonly memory: ArrayBuffer
  readonly fileBytes: number
  readonly entries: readonly BlobEntry[]
}

/**
 * Puts blobs into a pack, in memory. Pure: it neither reads nor writes anything else. The memory is given by the
 * caller and handed on with the sealed pack, so that it can travel between threads without a copy.
 */
export class PackAssembler {
  readonly #memory: ArrayBuffer
  readonly #file: Uint8Array
  readonly #entries: BlobEntry[] = []
  #end = PACK_HEADER_BYTES

  /** @param salt 32 random bytes, never used for another pack. */
  constructor(memory: ArrayBuffer, salt: Uint8Array) {
    this.#memory = memory
    this.#file = new Uint8Array(memory)
    writePackHeader(this.#file, salt)
  }

  /** Bytes of the blobs so far. */
  get blobBytes(): number {
    return this.#end - PACK_HEADER_BYTES
  }

  get entries(): readonly BlobEntry[] {
    return this.#entries
  }

  /** Whether a blob of so many stored bytes still fits, with the directory. */
  fits(storedBytes: number): boolean {
    return this.#end + storedBytes + packEndBytes(this.#entries.length + 1) <= this.#file.length
  }

  /** Appends a blob; the caller has made sure that it fits. `id` is kept, `stored` is copied. */
  append(id: Uint8Array, type: BlobType, codec: CodecNumber, stored: Uint8Array, rawBytes: number): void {
    this.#file.set(stored, this.#end)
    this.#entries.push({ id, type, codec, offset: this.#end, storedBytes: stored.length, rawBytes })
    this.#end += stored.length
  }

  /** Stored bytes of an entry, as a view. */
  stored(entry: BlobEntry): Uint8Array {
    return this.#file.subarray(entry.offset, entry.offset + entry.storedBytes)
  }

  /** Writes directory and trailer and names the pack by the hash of its bytes. The assembler is spent. */
  seal(): SealedPack {
    const fileBytes = writePackEnd(this.#file, this.#end, this.#entries)
    const id = packIdFrom(createHasher().hash(this.#file.subarray(0, fileBytes)))
    return { id, memory: this.#memory, fileBytes, entries: this.#entries }
  }
}
