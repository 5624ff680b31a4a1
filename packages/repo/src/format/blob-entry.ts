import { type CodecNumber, HASH_BYTES, isCodecNumber, PlatterError, type SuiteNumber } from '@platter/core'
import { MAX_CHUNK_BYTES, MAX_STORED_BLOB_BYTES } from './limits.ts'
import { sealOverheadBytes } from './pack-cipher.ts'

/** What a blob holds: a chunk of an image, or a node of a volume tree. The number stands in the format. */
export const BLOB_TYPE: Readonly<{ chunk: 0; node: 1 }> = Object.freeze({ chunk: 0, node: 1 })
export type BlobType = (typeof BLOB_TYPE)[keyof typeof BLOB_TYPE]

/** Where a blob lies in its pack and how it is stored. */
export interface BlobEntry {
  /** 32 bytes: chunk id or node id. */
  readonly id: Uint8Array
  readonly type: BlobType
  readonly codec: CodecNumber
  /** Offset of the stored bytes in the pack file. */
  readonly offset: number
  /** Length in the pack file, with the tag where the pack is encrypted. */
  readonly storedBytes: number
  readonly rawBytes: number
}

/**
 * Size of an encoded entry: id (32), offset (4), stored length (4), raw length (4), codec (1), type (1), reserved
 * (2); integers little-endian.
 */
export const BLOB_ENTRY_BYTES: number = HASH_BYTES + 16

/** Writes an entry at `at`. */
export function writeBlobEntry(view: DataView, at: number, entry: BlobEntry): void {
  new Uint8Array(view.buffer, view.byteOffset + at, HASH_BYTES).set(entry.id)
  view.setUint32(at + 32, entry.offset, true)
  view.setUint32(at + 36, entry.storedBytes, true)
  view.setUint32(at + 40, entry.rawBytes, true)
  view.setUint8(at + 44, entry.codec)
  view.setUint8(at + 45, entry.type)
  view.setUint16(at + 46, 0, true)
}

/** Where in a pack file blobs may lie, and how they are protected. */
export interface BlobBounds {
  readonly start: number
  readonly end: number
  readonly suite: SuiteNumber
}

/**
 * Reads an entry at `at`; its id is a view of the same memory.
 *
 * @throws ERR_CORRUPT_RECORD when a field is impossible; the caller knows which object it was.
 */
export function readBlobEntry(view: DataView, at: number, blobs: BlobBounds): BlobEntry {
  const id = new Uint8Array(view.buffer, view.byteOffset + at, HASH_BYTES)
  return { id, ...readBlobPlace(view, at + HASH_BYTES, blobs) }
}

/** Reads what of an entry is behind its id. @throws ERR_CORRUPT_RECORD like `readBlobEntry`. */
export function readBlobPlace(view: DataView, at: number, blobs: BlobBounds): Omit<BlobEntry, 'id'> {
  const offset = view.getUint32(at, true)
  const storedBytes = view.getUint32(at + 4, true)
  const rawBytes = view.getUint32(at + 8, true)
  const tail = view.getUint32(at + 12, true)
  assertBlobPlace(offset, storedBytes, rawBytes, tail, blobs.start, blobs.end, sealOverheadBytes(blobs.suite))
  return {
    type: ((tail >>> 8) & 0xff) as BlobType,
    codec: (tail & 0xff) as CodecNumber,
    offset,
    storedBytes,
    rawBytes,
  }
}

/**
 * Checks an entry given as numbers, as there are many of them.
 *
 * @param tail codec, type and the reserved bytes as one little-endian number.
 * @param start where in the pack file blobs may begin.
 * @param end where they have to have ended.
 * @throws ERR_CORRUPT_RECORD when a field is impossible.
 */
export function assertBlobPlace(
  offset: number,
  storedBytes: number,
  rawBytes: number,
  tail: number,
  start: number,
  end: number,
  sealBytes: number,
): void {
  const codec = tail & 0xff
  // With the reserved bytes, which are zero.
  const type = tail >>> 8
  const fits =
    offset >= start &&
    storedBytes > sealBytes &&
    storedBytes - sealBytes <= MAX_STORED_BLOB_BYTES &&
    offset + storedBytes <= end
  const known = isCodecNumber(codec) && (type === BLOB_TYPE.chunk || type === BLOB_TYPE.node)
  if (!fits || !known || rawBytes === 0 || rawBytes > MAX_CHUNK_BYTES)
    throw new PlatterError('ERR_CORRUPT_RECORD', 'A blob entry is impossible.')
  if (codec === 0 && storedBytes !== rawBytes + sealBytes) {
    throw new PlatterError('ERR_CORRUPT_RECORD', 'A blob stored as it is has two different lengths.')
  }
}
