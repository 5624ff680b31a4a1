import { CODEC, type CodecNumber, decompress, type Hasher, PlatterError, releaseMemory } from '@platter/core'
import type { BlobEntry } from '../format/blob-entry.ts'
import { type PackCipher, packCipher } from '../format/pack-cipher.ts'

/** A blob, opened: how its codec made it, and its checked plaintext. */
export interface OpenedBlob {
  readonly stored: Uint8Array
  readonly codec: CodecNumber
  readonly plain: Uint8Array
}

/** Opens, decompresses and checks blobs of many packs, most of which come one behind the other from the same pack. */
export class BlobOpener {
  readonly #packKey: Uint8Array | undefined
  readonly #borrows: boolean
  #cipher: PackCipher | undefined

  /**
   * @param packKey key of all packs of the repository, undefined in one without encryption.
   * @param borrows nobody else looks at the memory of the packs meanwhile; see `decompress`.
   */
  constructor(packKey: Uint8Array | undefined, { borrows = false }: { readonly borrows?: boolean } = {}) {
    this.#packKey = packKey
    this.#borrows = borrows
  }

  /**
   * Plaintext of a blob, checked against its id; undefined when it is damaged. It is memory of its own unless it is
   * `sealed` itself, as in a repository without encryption for a blob that is not compressed.
   */
  open(entry: BlobEntry, packSalt: Uint8Array, sealed: Uint8Array, hasher: Hasher): Uint8Array | undefined {
    const stored = this.#cipherOf(packSalt).openBlob(entry, sealed)
    if (stored === undefined) return undefined
    try {
      return plainOf(entry, stored, hasher, this.#borrows)
    } finally {
      if (stored.buffer !== sealed.buffer && entry.codec !== CODEC.none) releaseMemory(stored)
    }
  }

  /**
   * The same, with the blob as its codec made it beside the plaintext; either may be `sealed` itself, or the other.
   */
  openStored(
    entry: BlobEntry,
    packSalt: Uint8Array,
    sealed: Uint8Array,
    hasher: Hasher,
  ): OpenedBlob | undefined {
    const stored = this.#cipherOf(packSalt).openBlob(entry, sealed)
    const plain = stored === undefined ? undefined : plainOf(entry, stored, hasher, this.#borrows)
    return stored === undefined || plain === undefined ? undefined : { stored, codec: entry.codec, plain }
  }

  #cipherOf(salt: Uint8Array): PackCipher {
    if (this.#cipher === undefined || Buffer.compare(this.#cipher.salt, salt) !== 0)
      // The memory it lies in may hold another pack next time, when it is compared with that one's.
      this.#cipher = packCipher(this.#packKey, salt.slice())
    return this.#cipher
  }
}

function plainOf(
  entry: BlobEntry,
  stored: Uint8Array,
  hasher: Hasher,
  borrows: boolean,
): Uint8Array | undefined {
  try {
    const plain = decompress(entry.codec, stored, entry.rawBytes, borrows)
    return Buffer.compare(hasher.hash(plain), entry.id) === 0 ? plain : undefined
  } catch (error) {
    if (PlatterError.is(error, 'ERR_CORRUPT_BLOB')) return undefined
    throw error
  }
}
