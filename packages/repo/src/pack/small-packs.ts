import type { CodecNumber, RandomSource } from '@platter/core'
import type { BlobType } from '../format/blob-entry.ts'
import { packCipher, packSuite } from '../format/pack-cipher.ts'
import { PACK_SALT_BYTES, packFileBytes } from '../format/pack-file.ts'
import { PackAssembler } from './pack-assembler.ts'
import type { PackUploader } from './pack-uploader.ts'

/** Room for directory and a last large blob beyond the pack's nominal size. */
const SLACK_BYTES = 1024 * 1024

/** Collects blobs that come to the main thread into packs: tree nodes, and what workers had left over. */
export class SmallPacks {
  readonly #uploader: PackUploader
  readonly #packKey: Uint8Array | undefined
  readonly #packBytes: number
  readonly #random: RandomSource
  #pack: PackAssembler | undefined

  /** @param packKey key of all packs of the repository, undefined in one without encryption. */
  constructor(
    uploader: PackUploader,
    packKey: Uint8Array | undefined,
    packBytes: number,
    random: RandomSource,
  ) {
    this.#uploader = uploader
    this.#packKey = packKey
    this.#packBytes = packBytes
    this.#random = random
  }

  /** Appends a blob as its codec made it. A pack that is full goes to the uploader, which reports its failures at the end. */
  append(id: Uint8Array, type: BlobType, codec: CodecNumber, stored: Uint8Array, rawBytes: number): void {
    if (this.#pack !== undefined && (this.#pack.isFull(this.#packBytes) || !this.#pack.fits(stored.length)))
      this.flush()
    if (this.#pack === undefined) {
      const blobBytes = this.#packBytes + stored.length + SLACK_BYTES
      const memory = new ArrayBuffer(packFileBytes(blobBytes, 0, packSuite(this.#packKey)))
      this.#pack = new PackAssembler(memory, packCipher(this.#packKey, this.#random(PACK_SALT_BYTES)))
    }
    this.#pack.append(id, type, codec, stored, rawBytes)
  }

  /** Sends off the pack under way. */
  flush(): void {
    if (this.#pack === undefined) return
    const { id, memory, fileBytes } = this.#pack.seal()
    this.#pack = undefined
    this.#uploader.put(id, new Uint8Array(memory, 0, fileBytes)).catch(() => undefined)
  }
}
