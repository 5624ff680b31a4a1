import { crc16 } from '../common/crc16.ts'
import { crc32c } from '../common/crc32c.ts'
import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { INCOMPAT, RO_COMPAT } from './features.ts'
import type { ExtLayout } from './layout.ts'
import type { ExtSuperblock } from './superblock.ts'

/** Flag of a group whose bitmap of blocks was never written. */
const BLOCK_BITMAP_MISSING = 2

/** What descriptors say about groups, one place for each group: 37 bytes. */
export interface GroupDescriptors {
  readonly blockBitmap: Float64Array
  readonly inodeBitmap: Float64Array
  readonly inodeTable: Float64Array
  /** In clusters. */
  readonly freeCount: Uint32Array
  readonly bitmapChecksum: Uint32Array
  /** 1 where the bitmap of blocks was never written, and everything is free but what the filesystem itself needs. */
  readonly isBitmapMissing: Uint8Array
}

/**
 * Reads and checks the descriptors of all groups. Source: "Block Group Descriptors" and "Checksums" of the kernel's ext4
 * documentation.
 *
 * @throws SurveyError
 */
export async function readGroupDescriptors(
  reader: VolumeReader,
  layout: ExtLayout,
): Promise<GroupDescriptors> {
  const { superblock, descriptorsPerBlock, descriptorBlockCount } = layout
  const { blockBytes, groupCount, descriptorBytes } = superblock
  const all = emptyDescriptors(groupCount)
  const pieceBlocks = PIECE_BYTES / blockBytes
  for (let index = 0; index < descriptorBlockCount; ) {
    const block = layout.descriptorBlock(index)
    let count = 1
    while (
      count < pieceBlocks &&
      index + count < descriptorBlockCount &&
      layout.descriptorBlock(index + count) === block + count
    ) {
      count++
    }
    const piece = await reader.fields(block * blockBytes, count * blockBytes)
    const first = index * descriptorsPerBlock
    const end = Math.min(first + count * descriptorsPerBlock, groupCount)
    for (let group = first; group < end; group++) {
      takeDescriptor(all, superblock, group, piece.fields((group - first) * descriptorBytes, descriptorBytes))
    }
    index += count
  }
  return all
}

function emptyDescriptors(groupCount: number): GroupDescriptors {
  return {
    blockBitmap: new Float64Array(groupCount),
    inodeBitmap: new Float64Array(groupCount),
    inodeTable: new Float64Array(groupCount),
    freeCount: new Uint32Array(groupCount),
    bitmapChecksum: new Uint32Array(groupCount),
    isBitmapMissing: new Uint8Array(groupCount),
  }
}

function takeDescriptor(
  all: GroupDescriptors,
  superblock: ExtSuperblock,
  group: number,
  fields: Fields,
): void {
  assertChecksum(superblock, group, fields)
  const isLarge = (superblock.incompat & INCOMPAT.bits64) !== 0
  const high32 = (offset: number) => (isLarge ? fields.u32(offset) * 2 ** 32 : 0)
  const high16 = (offset: number) => (isLarge ? fields.u16(offset) * 2 ** 16 : 0)
  all.blockBitmap[group] = fields.u32(0) + high32(32)
  all.inodeBitmap[group] = fields.u32(4) + high32(36)
  all.inodeTable[group] = fields.u32(8) + high32(40)
  all.freeCount[group] = fields.u16(12) + high16(44)
  all.bitmapChecksum[group] = fields.u16(24) + high16(56)
  // The flag means nothing to a filesystem whose descriptors have no checksums.
  const hasFlags = superblock.roCompat & (RO_COMPAT.descriptorChecksums | RO_COMPAT.metadataChecksums)
  all.isBitmapMissing[group] = hasFlags && fields.u16(18) & BLOCK_BITMAP_MISSING ? 1 : 0
}

function assertChecksum(superblock: ExtSuperblock, group: number, fields: Fields): void {
  const { roCompat } = superblock
  const number = Uint8Array.of(group, group >>> 8, group >>> 16, group >>> 24)
  const before = fields.slice(0, 30)
  const behind = fields.slice(32, fields.length - 32)
  let expected: number
  if (roCompat & RO_COMPAT.metadataChecksums) {
    const zeros = new Uint8Array(2)
    expected = [number, before, zeros, behind].reduce(crc32c, superblock.checksumSeed) & 0xffff
  } else if (roCompat & RO_COMPAT.descriptorChecksums) {
    expected = [superblock.uuid, number, before, behind].reduce(crc16, 0xffff)
  } else return
  const isRight = fields.u16(30) === expected
  ensure(isRight, 'bad-checksum', `the checksum of the descriptor of group ${group} is wrong`)
}
