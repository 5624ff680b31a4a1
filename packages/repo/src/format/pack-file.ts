import { createHasher, HASH_BYTES, isSuiteNumber, PlatterError, type SuiteNumber } from '@platter/core'
import { BLOB_ENTRY_BYTES, type BlobEntry, readBlobEntry, writeBlobEntry } from './blob-entry.ts'
import { MAX_PACK_ENTRIES, MAX_PACK_FILE_BYTES } from './limits.ts'
import { type PackCipher, type PackFrame, packCipher, packSuite, sealOverheadBytes } from './pack-cipher.ts'

/** Length of the header in front of the blobs: magic (8), version (1), suite (1), reserved (22), salt (32). */
export const PACK_HEADER_BYTES = 64
/**
 * Length of the trailer at the very end: directory offset (4), directory length (4), entry count (4), reserved
 * (12), hash of header, directory and the fields before (32), magic (8).
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
 * Writes directory and trailer behind the blobs.
 *
 * @param blobsEnd where the blobs end; the directory starts there.
 * @returns length of the whole pack file.
 */
export function writePackEnd(
  file: Uint8Array,
  blobsEnd: number,
  entries: readonly BlobEntry[],
  cipher: PackCipher,
): number {
  const directoryBytes = entries.length * BLOB_ENTRY_BYTES + sealOverheadBytes(cipher.suite)
  const trailerAt = blobsEnd + directoryBytes
  const end = trailerAt + PACK_TRAILER_BYTES
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  file.fill(0, trailerAt, end)
  view.setUint32(trailerAt, blobsEnd, true)
  view.setUint32(trailerAt + 4, directoryBytes, true)
  view.setUint32(trailerAt + 8, entries.length, true)
  const header = file.subarray(0, PACK_HEADER_BYTES)
  const trailerFields = file.subarray(trailerAt, trailerAt + HASH_AT)
  cipher.sealDirectory(file, blobsEnd, encodeDirectory(entries), { header, trailerFields })
  file.set(endHash(header, file.subarray(blobsEnd, trailerAt + HASH_AT)), trailerAt + HASH_AT)
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

/** Space that directory and trailer take for so many entries. */
export function packEndBytes(entryCount: number, suite: SuiteNumber): number {
  return entryCount * BLOB_ENTRY_BYTES + sealOverheadBytes(suite) + PACK_TRAILER_BYTES
}

/** Where a pack's directory lies, as its trailer says. */
export interface PackTrailer {
  readonly directoryOffset: number
  readonly directoryBytes: number
  readonly entryCount: number
}

/**
 * Reads the trailer of a pack.
 *
 * @param trailer the last {@link PACK_TRAILER_BYTES} of the file.
 * @throws ERR_CORRUPT_PACK
 */
export function readPackTrailer(
  trailer: Uint8Array,
  fileBytes: number,
  name: string,
  suite: SuiteNumber,
): PackTrailer {
  const view = new DataView(trailer.buffer, trailer.byteOffset, trailer.length)
  const smallest = PACK_HEADER_BYTES + PACK_TRAILER_BYTES
  if (trailer.length !== PACK_TRAILER_BYTES || fileBytes < smallest || fileBytes > MAX_PACK_FILE_BYTES) {
    throw corruptPack(name, `has ${fileBytes} bytes, which no pack has`)
  }
  if (view.getBigUint64(PACK_TRAILER_BYTES - 8, true) !== TRAILER_MAGIC)
    throw corruptPack(name, 'does not end as a pack does')
  const directoryOffset = view.getUint32(0, true)
  const directoryBytes = view.getUint32(4, true)
  const entryCount = view.getUint32(8, true)
  if (entryCount > MAX_PACK_ENTRIES) throw corruptPack(name, `lists ${entryCount} blobs, more than any may`)
  const fits =
    directoryOffset >= PACK_HEADER_BYTES &&
    directoryBytes === entryCount * BLOB_ENTRY_BYTES + sealOverheadBytes(suite) &&
    directoryOffset + directoryBytes + PACK_TRAILER_BYTES === fileBytes
  if (!fits) throw corruptPack(name, 'has a trailer that does not fit its length')
  return { directoryOffset, directoryBytes, entryCount }
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
  if (header.length !== PACK_HEADER_BYTES) throw corruptPack(name, 'is too short for its header')
  const trailerAt = end.length - PACK_TRAILER_BYTES
  const trailer = readPackTrailer(end.subarray(Math.max(0, trailerAt)), fileBytes, name, suite)
  if (trailerAt !== trailer.directoryBytes)
    throw corruptPack(name, 'has a directory of another length than its trailer says')
  const sum = end.subarray(trailerAt + HASH_AT, trailerAt + HASH_AT + HASH_BYTES)
  if (Buffer.compare(sum, endHash(header, end.subarray(0, trailerAt + HASH_AT))) !== 0) {
    throw corruptPack(name, 'has an altered header, directory or trailer')
  }
  assertHeader(header, name, suite)
  const { directoryOffset } = trailer
  const frame: PackFrame = { header, trailerFields: end.subarray(trailerAt, trailerAt + HASH_AT) }
  const cipher = packCipher(packKey, saltOfHeader(header))
  const directory = cipher.openDirectory(directoryOffset, end.subarray(0, trailerAt), frame)
  if (directory === undefined)
    throw corruptPack(name, 'has an altered directory, or is not of this repository')
  const view = new DataView(directory.buffer, directory.byteOffset, directory.length)
  const entries: BlobEntry[] = []
  for (let at = 0; at < directory.length; at += BLOB_ENTRY_BYTES) {
    try {
      entries.push(readBlobEntry(view, at, { start: PACK_HEADER_BYTES, end: directoryOffset, suite }))
    } catch (cause) {
      throw corruptPack(name, 'has an impossible directory entry', cause)
    }
  }
  return entries
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
