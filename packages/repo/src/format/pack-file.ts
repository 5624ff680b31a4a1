import {
  createHasher,
  HASH_BYTES,
  isSuiteNumber,
  PlatterError,
  paddedLength,
  SUITE,
  type SuiteNumber,
} from '@platter/core'
import { BLOB_ENTRY_BYTES, type BlobEntry, readBlobEntry, writeBlobEntry } from './blob-entry.ts'
import { MAX_PACK_ENTRIES, MAX_PACK_FILE_BYTES } from './limits.ts'
import { type PackCipher, packCipher, packSuite, sealOverheadBytes } from './pack-cipher.ts'

/** Length of the header in front of the blobs: magic (8), version (1), suite (1), reserved (22), salt (32). */
export const PACK_HEADER_BYTES = 64
/**
 * Length of the trailer at the very end: fields (24), hash of header, directory and fields (32), magic (8). The fields are
 * directory offset (4), directory length (4), entry count (4) and reserved bytes (12); where packs are encrypted, the
 * end of the blobs (4) and the directory offset (4), sealed.
 */
export const PACK_TRAILER_BYTES = 64
/** Random bytes in each header: no two packs have the same id, and each can be sealed under a key of its own. */
export const PACK_SALT_BYTES = 32

const HEADER_MAGIC = 0x4b43_4150_5254_4c50n // 'PLTRPACK'
const TRAILER_MAGIC = 0x444e_4550_5254_4c50n // 'PLTRPEND'
const VERSION = 1
const SUITE_AT = 9
const SALT_AT = 32
const HASH_AT = 24

/** Writes a pack header at the start of `file`. */
export function writePackHeader(file: Uint8Array, { suite, salt }: PackCipher): void {
  const view = new DataView(file.buffer, file.byteOffset, PACK_HEADER_BYTES)
  file.fill(0, 0, PACK_HEADER_BYTES)
  view.setBigUint64(0, HEADER_MAGIC, true)
  view.setUint8(8, VERSION)
  view.setUint8(SUITE_AT, suite)
  file.set(salt, SALT_AT)
}

/** The salt in a pack's header, as a view. */
export function saltOfHeader(header: Uint8Array): Uint8Array {
  return header.subarray(SALT_AT, SALT_AT + PACK_SALT_BYTES)
}

/**
 * Writes directory and trailer behind the blobs, and before them what fills an encrypted pack up.
 *
 * @param blobsEnd where the blobs end.
 * @returns length of the whole pack file, {@link packFileBytes}.
 */
export function writePackEnd(
  file: Uint8Array,
  blobsEnd: number,
  entries: readonly BlobEntry[],
  cipher: PackCipher,
): number {
  const end = packFileBytes(blobsEnd - PACK_HEADER_BYTES, entries.length, cipher.suite)
  const trailerAt = end - PACK_TRAILER_BYTES
  const directoryAt = trailerAt - directoryBytesOf(entries.length, cipher.suite)
  const header = file.subarray(0, PACK_HEADER_BYTES)
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  file.fill(0, trailerAt, end)
  if (cipher.suite === SUITE.none) {
    view.setUint32(trailerAt, directoryAt, true)
    view.setUint32(trailerAt + 4, trailerAt - directoryAt, true)
    view.setUint32(trailerAt + 8, entries.length, true)
  } else {
    const padding = new Uint8Array(directoryAt - blobsEnd - sealOverheadBytes(cipher.suite))
    cipher.sealPart('padding', file, blobsEnd, padding, [header])
    const places = new DataView(new ArrayBuffer(8))
    places.setUint32(0, blobsEnd, true)
    places.setUint32(4, directoryAt, true)
    cipher.sealPart('trailer', file, trailerAt, new Uint8Array(places.buffer), [header])
  }
  const fields = file.subarray(trailerAt, trailerAt + HASH_AT)
  cipher.sealPart('directory', file, directoryAt, encodeDirectory(entries), [header, fields])
  file.set(endHash(header, file.subarray(directoryAt, trailerAt + HASH_AT)), trailerAt + HASH_AT)
  view.setBigUint64(end - 8, TRAILER_MAGIC, true)
  return end
}

function encodeDirectory(entries: readonly BlobEntry[]): Uint8Array {
  const directory = new Uint8Array(entries.length * BLOB_ENTRY_BYTES)
  const view = new DataView(directory.buffer)
  entries.forEach((entry, i) => {
    writeBlobEntry(view, i * BLOB_ENTRY_BYTES, entry)
  })
  return directory
}

/** What a pack's length is a multiple of, where packs are filled up: blocks of a disk, so small packs take no more room. */
const PACK_STEP_BYTES = 4096

/** Length of the file of a pack with so many bytes of blobs as they are stored: its length says little where it is encrypted. */
export function packFileBytes(blobBytes: number, entryCount: number, suite: SuiteNumber): number {
  const bytes = PACK_HEADER_BYTES + blobBytes + packEndBytes(entryCount, suite)
  return suite === SUITE.none ? bytes : paddedLength(bytes, PACK_STEP_BYTES)
}

/** Least space that is taken behind the blobs of a pack with so many entries. */
export function packEndBytes(entryCount: number, suite: SuiteNumber): number {
  return sealOverheadBytes(suite) + directoryBytesOf(entryCount, suite) + PACK_TRAILER_BYTES
}

function directoryBytesOf(entryCount: number, suite: SuiteNumber): number {
  return entryCount * BLOB_ENTRY_BYTES + sealOverheadBytes(suite)
}

/** Where things lie in a pack, as its trailer says. */
export interface PackTrailer {
  /** Where the blobs have to have ended. What is between here and the directory fills the pack up. */
  readonly blobsEnd: number
  readonly directoryOffset: number
  readonly directoryBytes: number
}

/**
 * Reads the trailer of a pack.
 *
 * @param header the first {@link PACK_HEADER_BYTES} of the file.
 * @param trailer the last {@link PACK_TRAILER_BYTES} of the file.
 * @param packKey key of all packs of the repository, undefined in one without encryption.
 * @throws ERR_CORRUPT_PACK
 */
export function readPackTrailer(
  header: Uint8Array,
  trailer: Uint8Array,
  fileBytes: number,
  name: string,
  packKey: Uint8Array | undefined,
): PackTrailer {
  assertPackLength(fileBytes, name)
  if (header.length !== PACK_HEADER_BYTES) throw corruptPack(name, 'is too short for its header')
  const view = new DataView(trailer.buffer, trailer.byteOffset, trailer.length)
  if (
    trailer.length !== PACK_TRAILER_BYTES ||
    view.getBigUint64(PACK_TRAILER_BYTES - 8, true) !== TRAILER_MAGIC
  )
    throw corruptPack(name, 'does not end as a pack does')
  const suite = packSuite(packKey)
  const trailerAt = fileBytes - PACK_TRAILER_BYTES
  const { blobsEnd, directoryOffset, entryCount } =
    packKey === undefined ? plainFields(view) : sealedFields(header, trailer, trailerAt, name, packKey)
  if (entryCount > MAX_PACK_ENTRIES) throw corruptPack(name, `lists ${entryCount} blobs, more than any may`)
  const fits =
    blobsEnd >= PACK_HEADER_BYTES &&
    directoryOffset >= blobsEnd + sealOverheadBytes(suite) &&
    directoryOffset + directoryBytesOf(entryCount, suite) === trailerAt
  if (!fits) throw corruptPack(name, 'has a trailer that does not fit its length')
  return { blobsEnd, directoryOffset, directoryBytes: trailerAt - directoryOffset }
}

/** @throws ERR_CORRUPT_PACK when no pack has so many bytes. */
export function assertPackLength(fileBytes: number, name: string): void {
  if (fileBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES || fileBytes > MAX_PACK_FILE_BYTES)
    throw corruptPack(name, `has ${fileBytes} bytes, which no pack has`)
}

interface TrailerFields {
  readonly blobsEnd: number
  readonly directoryOffset: number
  readonly entryCount: number
}

function plainFields(trailer: DataView): TrailerFields {
  const directoryOffset = trailer.getUint32(0, true)
  const directoryBytes = trailer.getUint32(4, true)
  const entryCount = trailer.getUint32(8, true)
  // Said twice; what is not the same twice fits no length.
  const isTrue = directoryBytes === directoryBytesOf(entryCount, SUITE.none)
  return { blobsEnd: directoryOffset, directoryOffset, entryCount: isTrue ? entryCount : -1 }
}

function sealedFields(
  header: Uint8Array,
  trailer: Uint8Array,
  trailerAt: number,
  name: string,
  packKey: Uint8Array,
): TrailerFields {
  const cipher = packCipher(packKey, saltOfHeader(header))
  const fields = cipher.openPart('trailer', trailerAt, trailer.subarray(0, HASH_AT), [header])
  if (fields === undefined)
    throw corruptPack(name, 'has an altered header or trailer, or is not of this repository')
  const view = new DataView(fields.buffer, fields.byteOffset, fields.length)
  const [blobsEnd, directoryOffset] = [view.getUint32(0, true), view.getUint32(4, true)]
  const directoryBytes = trailerAt - directoryOffset
  const entryCount = (directoryBytes - sealOverheadBytes(cipher.suite)) / BLOB_ENTRY_BYTES
  return { blobsEnd, directoryOffset, entryCount: Number.isInteger(entryCount) ? entryCount : -1 }
}

/**
 * Reads the directory of a pack and checks it against header and trailer.
 *
 * @param header the first {@link PACK_HEADER_BYTES} of the file.
 * @param end directory and trailer: the file from `directoryOffset` to its end.
 * @param packKey key of all packs of the repository, undefined in one without encryption.
 * @returns entries whose ids are views of memory they share.
 * @throws ERR_CORRUPT_PACK, ERR_UNSUPPORTED_VERSION
 */
export function readPackDirectory(
  header: Uint8Array,
  end: Uint8Array,
  fileBytes: number,
  name: string,
  packKey: Uint8Array | undefined,
): BlobEntry[] {
  const suite = packSuite(packKey)
  const trailerAt = end.length - PACK_TRAILER_BYTES
  const trailer = readPackTrailer(header, end.subarray(Math.max(0, trailerAt)), fileBytes, name, packKey)
  if (trailerAt !== trailer.directoryBytes)
    throw corruptPack(name, 'has a directory of another length than its trailer says')
  const sum = end.subarray(trailerAt + HASH_AT, trailerAt + HASH_AT + HASH_BYTES)
  if (Buffer.compare(sum, endHash(header, end.subarray(0, trailerAt + HASH_AT))) !== 0) {
    throw corruptPack(name, 'has an altered header, directory or trailer')
  }
  assertHeader(header, name, suite)
  const cipher = packCipher(packKey, saltOfHeader(header))
  const fields = end.subarray(trailerAt, trailerAt + HASH_AT)
  const directory = cipher.openPart('directory', trailer.directoryOffset, end.subarray(0, trailerAt), [
    header,
    fields,
  ])
  if (directory === undefined)
    throw corruptPack(name, 'has an altered directory, or is not of this repository')
  const view = new DataView(directory.buffer, directory.byteOffset, directory.length)
  const entries: BlobEntry[] = []
  for (let at = 0; at < directory.length; at += BLOB_ENTRY_BYTES) {
    try {
      entries.push(readBlobEntry(view, at, { start: PACK_HEADER_BYTES, end: trailer.blobsEnd, suite }))
    } catch (cause) {
      throw corruptPack(name, 'has an impossible directory entry', cause)
    }
  }
  return entries
}

/**
 * Checks what fills an encrypted pack up: nothing reads it, so nothing else would notice that it was altered.
 *
 * @throws ERR_CORRUPT_PACK
 */
export function assertPadding(file: Uint8Array, name: string, packKey: Uint8Array | undefined): void {
  if (packKey === undefined) return
  const header = file.subarray(0, PACK_HEADER_BYTES)
  const trailer = file.subarray(file.length - PACK_TRAILER_BYTES)
  const { blobsEnd, directoryOffset } = readPackTrailer(header, trailer, file.length, name, packKey)
  const sealed = file.subarray(blobsEnd, directoryOffset)
  const cipher = packCipher(packKey, saltOfHeader(header))
  if (cipher.openPart('padding', blobsEnd, sealed, [header]) === undefined)
    throw corruptPack(name, 'has altered bytes between its blobs and its directory')
}

/** An ERR_CORRUPT_PACK that names the pack. */
export function corruptPack(name: string, problem: string, cause?: unknown): PlatterError {
  return new PlatterError('ERR_CORRUPT_PACK', `The pack ${name} ${problem}.`, { object: name, cause })
}

function assertHeader(header: Uint8Array, name: string, suite: SuiteNumber): void {
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  if (view.getBigUint64(0, true) !== HEADER_MAGIC) throw corruptPack(name, 'does not start as a pack does')
  const isKnown = view.getUint8(8) === VERSION && isSuiteNumber(view.getUint8(SUITE_AT))
  if (isKnown && view.getUint8(SUITE_AT) !== suite)
    throw corruptPack(name, 'is not protected in the way of this repository')
  if (!isKnown) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The pack ${name} was written by a later version of Platter.`,
      {
        object: name,
        expected: VERSION,
        actual: view.getUint8(8),
      },
    )
  }
}

const hasher = createHasher()

function endHash(header: Uint8Array, directoryAndFields: Uint8Array): Uint8Array {
  return hasher.hashParts([header, directoryAndFields])
}
