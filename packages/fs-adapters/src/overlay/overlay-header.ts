import { createHash } from 'node:crypto'
import { PlatterError } from '@platter/core'

/** Bytes of the header; the map of blocks follows it. */
export const HEADER_BYTES = 4096
const MAGIC: Buffer = Buffer.from('PLTROVL1')
const DIGEST_BYTES = 32
const MAX_BASE_BYTES = 1024
/** Longest block: one is held in memory where a part of it is written. */
const MAX_BLOCK_BYTES: number = 1024 * 1024

/** What an overlay file says of itself. */
export interface OverlayHeader {
  readonly blockBytes: number
  readonly sizeBytes: number
  /** What the overlay lies over, such as the id of a snapshot. */
  readonly base: string
}

/** One sector group: magic, block size (u32), image size (u64), length of `base` (u32), `base`; at the end SHA-256 of all before. */
export function encodeHeader({ blockBytes, sizeBytes, base }: OverlayHeader): Buffer {
  const name = Buffer.from(base, 'utf8')
  if (name.length > MAX_BASE_BYTES)
    throw new PlatterError('ERR_INVALID_ARGUMENT', `The name of a base has at most ${MAX_BASE_BYTES} bytes.`)
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt32LE(blockBytes, 8)
  header.writeBigUInt64LE(BigInt(sizeBytes), 12)
  header.writeUInt32LE(name.length, 20)
  name.copy(header, 24)
  createHash('sha256')
    .update(header.subarray(0, -DIGEST_BYTES))
    .digest()
    .copy(header, HEADER_BYTES - DIGEST_BYTES)
  return header
}

/**
 * Reads a header.
 *
 * @throws ERR_OVERLAY_INVALID when it is none, or damaged.
 */
export function decodeHeader(header: Buffer, path: string): OverlayHeader {
  if (header.length < HEADER_BYTES || !header.subarray(0, 8).equals(MAGIC))
    throw new PlatterError('ERR_OVERLAY_INVALID', `'${path}' is no overlay.`, { path })
  const digest = createHash('sha256').update(header.subarray(0, -DIGEST_BYTES)).digest()
  const nameBytes = header.readUInt32LE(20)
  const blockBytes = header.readUInt32LE(8)
  const sizeBytes = Number(header.readBigUInt64LE(12))
  const sound =
    digest.equals(header.subarray(-DIGEST_BYTES)) &&
    nameBytes <= MAX_BASE_BYTES &&
    blockBytes >= 512 &&
    blockBytes <= MAX_BLOCK_BYTES &&
    (blockBytes & (blockBytes - 1)) === 0 &&
    Number.isSafeInteger(sizeBytes)
  if (!sound)
    throw new PlatterError('ERR_OVERLAY_INVALID', `The header of the overlay '${path}' is damaged.`, { path })
  return { blockBytes, sizeBytes, base: header.toString('utf8', 24, 24 + nameBytes) }
}
