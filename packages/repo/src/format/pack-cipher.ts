import {
  AES_GCM_NONCE_BYTES,
  AES_GCM_TAG_BYTES,
  deriveKey,
  openAesGcm,
  SUITE,
  type SuiteNumber,
  sealAesGcmInto,
} from '@platter/core'
import type { BlobEntry } from './blob-entry.ts'

/** What lies in a sealed pack beside blobs: what fills it up, its directory, and what its trailer says. */
export type PackPart = 'padding' | 'directory' | 'trailer'

/**
 * Seals and opens what lies in one pack: its blobs, and what is around them. In a repository without encryption it
 * leaves all bytes as they are.
 */
export interface PackCipher {
  readonly suite: SuiteNumber
  /** The pack's 32 random bytes. */
  readonly salt: Uint8Array
  /**
   * Writes the sealed form of a blob at the entry's offset of `file`, where it takes the entry's `storedBytes`.
   *
   * @param stored the blob as its codec made it; {@link sealOverheadBytes} shorter than `storedBytes`.
   */
  sealBlob(file: Uint8Array, entry: BlobEntry, stored: Uint8Array): void
  /** What the codec made, or undefined when the bytes or the entry are not as they were sealed. */
  openBlob(entry: BlobEntry, sealed: Uint8Array): Uint8Array | undefined
  /**
   * Writes the sealed form of a part at `offset` of `file`.
   *
   * @param around what is readable and authenticated along with it: the pack's header, and for the directory the fields
   * of the trailer too.
   */
  sealPart(
    part: PackPart,
    file: Uint8Array,
    offset: number,
    plain: Uint8Array,
    around: readonly Uint8Array[],
  ): void
  /** The part, or undefined when it or what is around it are not as they were sealed. */
  openPart(
    part: PackPart,
    offset: number,
    sealed: Uint8Array,
    around: readonly Uint8Array[],
  ): Uint8Array | undefined
}

/** Bytes that a sealed blob or part is longer than what was sealed. */
export function sealOverheadBytes(suite: SuiteNumber): number {
  return suite === SUITE.none ? 0 : AES_GCM_TAG_BYTES
}

/** How packs are protected under this key; undefined is the one of repositories without encryption. */
export function packSuite(packKey: Uint8Array | undefined): SuiteNumber {
  return packKey === undefined ? SUITE.none : SUITE['aes-256-gcm']
}

/**
 * The cipher of the pack that has this salt.
 *
 * @param packKey key of all packs of an encrypted repository, undefined in one without encryption.
 */
export function packCipher(packKey: Uint8Array | undefined, salt: Uint8Array): PackCipher {
  return packKey === undefined ? new PlainPackCipher(salt) : new AesGcmPackCipher(packKey, salt)
}

class PlainPackCipher implements PackCipher {
  readonly suite = SUITE.none
  readonly salt: Uint8Array

  constructor(salt: Uint8Array) {
    this.salt = salt
  }

  sealBlob(file: Uint8Array, entry: BlobEntry, stored: Uint8Array): void {
    file.set(stored, entry.offset)
  }

  openBlob(_entry: BlobEntry, sealed: Uint8Array): Uint8Array {
    return sealed
  }

  sealPart(_part: PackPart, file: Uint8Array, offset: number, plain: Uint8Array): void {
    file.set(plain, offset)
  }

  openPart(_part: PackPart, _offset: number, sealed: Uint8Array): Uint8Array {
    return sealed
  }
}

const BLOB_LABEL = Buffer.from('PLTRBLOB', 'latin1')
const PART_LABELS: Readonly<Record<PackPart, Uint8Array>> = {
  padding: Buffer.from('PLTRPPAD', 'latin1'),
  directory: Buffer.from('PLTRPDIR', 'latin1'),
  trailer: Buffer.from('PLTRPTRL', 'latin1'),
}
const BLOB_DATA_BYTES = 88
const BLOB_DATA_VERSION = 1

/**
 * AES-256-GCM under a key of the pack's own. What is sealed has its offset in the pack as nonce: no two things lie at
 * one offset, and the pack is never written again, so none is ever used twice.
 */
class AesGcmPackCipher implements PackCipher {
  readonly suite = SUITE['aes-256-gcm']
  readonly salt: Uint8Array
  readonly #key: Uint8Array
  readonly #nonce = Buffer.alloc(AES_GCM_NONCE_BYTES)
  /** Label (8), version, suite, type, codec (1 each), offset, stored length, raw length (4 each), salt, id. */
  readonly #blobData = Buffer.alloc(BLOB_DATA_BYTES)

  constructor(packKey: Uint8Array, salt: Uint8Array) {
    this.salt = salt
    this.#key = deriveKey(packKey, salt, 'platter v1 one pack')
    this.#blobData.set(BLOB_LABEL)
    this.#blobData[8] = BLOB_DATA_VERSION
    this.#blobData[9] = this.suite
    this.#blobData.set(salt, 24)
  }

  sealBlob(file: Uint8Array, entry: BlobEntry, stored: Uint8Array): void {
    sealAesGcmInto(file, entry.offset, this.#input(entry.offset, this.#dataOf(entry)), stored)
  }

  openBlob(entry: BlobEntry, sealed: Uint8Array): Uint8Array | undefined {
    return openAesGcm(this.#input(entry.offset, this.#dataOf(entry)), sealed)
  }

  sealPart(
    part: PackPart,
    file: Uint8Array,
    offset: number,
    plain: Uint8Array,
    around: readonly Uint8Array[],
  ): void {
    sealAesGcmInto(file, offset, this.#input(offset, partData(part, around)), plain)
  }

  openPart(
    part: PackPart,
    offset: number,
    sealed: Uint8Array,
    around: readonly Uint8Array[],
  ): Uint8Array | undefined {
    return openAesGcm(this.#input(offset, partData(part, around)), sealed)
  }

  #input(offset: number, additionalData: Uint8Array): Parameters<typeof openAesGcm>[0] {
    this.#nonce.writeUInt32LE(offset)
    return { key: this.#key, nonce: this.#nonce, additionalData }
  }

  #dataOf({ id, type, codec, offset, storedBytes, rawBytes }: BlobEntry): Uint8Array {
    const data = this.#blobData
    data[10] = type
    data[11] = codec
    data.writeUInt32LE(offset, 12)
    data.writeUInt32LE(storedBytes, 16)
    data.writeUInt32LE(rawBytes, 20)
    data.set(id, 56)
    return data
  }
}

function partData(part: PackPart, around: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([PART_LABELS[part], ...around])
}
