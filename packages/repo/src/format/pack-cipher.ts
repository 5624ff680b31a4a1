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

/**
 * Seals and opens what lies in one pack: its blobs, and its directory. In a repository without encryption it leaves
 * all bytes as they are.
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
   * Writes the sealed form of a directory at `offset` of `file`.
   *
   * @param around the pack's header and the fields of its trailer, which are authenticated along with it.
   */
  sealDirectory(file: Uint8Array, offset: number, directory: Uint8Array, around: PackFrame): void
  /** The directory, or undefined when it or what is around it are not as they were sealed. */
  openDirectory(offset: number, sealed: Uint8Array, around: PackFrame): Uint8Array | undefined
}

/** What is readable in every pack. */
export interface PackFrame {
  readonly header: Uint8Array
  /** The trailer up to its hash. */
  readonly trailerFields: Uint8Array
}

/** Bytes that a sealed blob or directory is longer than what was sealed. */
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

  sealDirectory(file: Uint8Array, offset: number, directory: Uint8Array): void {
    file.set(directory, offset)
  }

  openDirectory(_offset: number, sealed: Uint8Array): Uint8Array {
    return sealed
  }
}

const BLOB_LABEL = Buffer.from('PLTRBLOB', 'latin1')
const DIRECTORY_LABEL = Buffer.from('PLTRPDIR', 'latin1')
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

  sealDirectory(file: Uint8Array, offset: number, directory: Uint8Array, around: PackFrame): void {
    sealAesGcmInto(file, offset, this.#input(offset, directoryData(around)), directory)
  }

  openDirectory(offset: number, sealed: Uint8Array, around: PackFrame): Uint8Array | undefined {
    return openAesGcm(this.#input(offset, directoryData(around)), sealed)
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

function directoryData({ header, trailerFields }: PackFrame): Uint8Array {
  return Buffer.concat([DIRECTORY_LABEL, header, trailerFields])
}
