import { createHasher, HASH_BYTES, PlatterError } from '@platter/core'
import { BLOB_ENTRY_BYTES, type BlobEntry, readBlobEntry, writeBlobEntry } from './blob-entry.ts'
import { MAX_PACK_FILE_BYTES } from './limits.ts'

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
const SUITE_NONE = 0
const HASH_AT = 24

/** Writes a pack header at the start of `file`. */
export function writePackHeader(file: Uint8Array, salt: Uint8Array): void {
  const view = new DataView(file.buffer, file.byteOffset, PACK_HEADER_BYTES)
  file.fill(0, 0, PACK_HEADER_BYTES)
  view.setBigUint64(0, HEADER_MAGIC, true)
  view.setUint8(8, VERSION)
  view.setUint8(9, SUITE_NONE)
  file.set(salt, 32)
}

/**
 * Writes directory and trailer behind the blobs.
 *
 * @param blobsEnd where the blobs end; the directory starts there.
 * @returns length of the whole pack file.
 */
export function writePackEnd(file: Uint8Array, blobsEnd: number, entries: readonly BlobEntry[]): number {
  const directoryBytes = entries.length * BLOB_ENTRY_BYTES
  const trailerAt = blobsEnd + directoryBytes
  const end = trailerAt + PACK_TRAILER_BYTES
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  let at = blobsEnd
  for (const entry of entries) {
    writeBlobEntry(view, at, entry)
    at += BLOB_ENTRY_BYTES
  }
  file.fill(0, trailerAt, end)
  view.setUint32(trailerAt, blobsEnd, true)
  view.setUint32(trailerAt + 4, directoryBytes, true)
  view.setUint32(trailerAt + 8, entries.length, true)
  file.set(
    endHash(file.subarray(0, PACK_HEADER_BYTES), file.subarray(blobsEnd, trailerAt + HASH_AT)),
    trailerAt + HASH_AT,
  )
  view.setBigUint64(end - 8, TRAILER_MAGIC, true)
  return end
}

/** Space that directory and trailer take for so many entries. */
export function packEndBytes(entryCount: number): number {
  return entryCount * BLOB_ENTRY_BYTES + PACK_TRAILER_BYTES
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
export function readPackTrailer(trailer: Uint8Array, fileBytes: number, name: string): PackTrailer {
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
  const fits =
    directoryOffset >= PACK_HEADER_BYTES &&
    directoryBytes === entryCount * BLOB_ENTRY_BYTES &&
    directoryOffset + directoryBytes + PACK_TRAILER_BYTES === fileBytes
  if (!fits) throw corruptPack(name, 'has a trailer that does not fit its length')
  return { directoryOffset, directoryBytes, entryCount }
}

/**
 * Reads the directory of a pack and checks it against header and trailer.
 *
 * @param header the first {@link PACK_HEADER_BYTES} of the file.
 * @param end directory and trailer: the file from `directoryOffset` to its end.
 * @returns entries whose ids are views of `end`.
 * @throws ERR_CORRUPT_PACK, ERR_UNSUPPORTED_VERSION
 */
export function readPackDirectory(
  header: Uint8Array,
  end: Uint8Array,
  fileBytes: number,
  name: string,
): BlobEntry[] {
  if (header.length !== PACK_HEADER_BYTES) throw corruptPack(name, 'is too short for its header')
  const trailerAt = end.length - PACK_TRAILER_BYTES
  const trailer = readPackTrailer(end.subarray(Math.max(0, trailerAt)), fileBytes, name)
  if (trailerAt !== trailer.directoryBytes)
    throw corruptPack(name, 'has a directory of another length than its trailer says')
  const sum = end.subarray(trailerAt + HASH_AT, trailerAt + HASH_AT + HASH_BYTES)
  if (Buffer.compare(sum, endHash(header, end.subarray(0, trailerAt + HASH_AT))) !== 0) {
    throw corruptPack(name, 'has an altered header, directory or trailer')
  }
  assertHeader(header, name)
  const view = new DataView(end.buffer, end.byteOffset, end.length)
  const entries: BlobEntry[] = []
  for (let at = 0; at < trailerAt; at += BLOB_ENTRY_BYTES) {
    try {
      entries.push(readBlobEntry(view, at, PACK_HEADER_BYTES, trailer.directoryOffset))
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

function assertHeader(header: Uint8Array, name: string): void {
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  if (view.getBigUint64(0, true) !== HEADER_MAGIC) throw corruptPack(name, 'does not start as a pack does')
  if (view.getUint8(8) !== VERSION || view.getUint8(9) !== SUITE_NONE) {
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
