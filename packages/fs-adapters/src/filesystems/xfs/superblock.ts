import { type Fields, isPowerOfTwo } from '../common/fields.ts'
import { ensure, hex } from '../common/survey-error.ts'
import { assertXfsChecksum } from './checksum.ts'
import { INCOMPAT, LOG_INCOMPAT, RO_COMPAT, unknownOf, VERSION, VERSION2 } from './features.ts'

export const XFS_MAGIC = 'XFSB'
/** All that is read of it lies in the smallest sector. */
export const SUPERBLOCK_BYTES = 512

const CHECKSUM_AT = 224
const MIN_GROUP_BLOCKS = 64
const MAX_GROUP_BYTES = 2 ** 40

/** What the superblock says. */
export interface XfsSuperblock {
  readonly hasChecksums: boolean
  readonly blockBytes: number
  readonly sectorBytes: number
  readonly blockCount: number
  /** Blocks of a group; the last one may have fewer. */
  readonly groupBlocks: number
  readonly groupCount: number
  /** Bits for a block within a group, in numbers of blocks; and for an inode within a block. */
  readonly groupBits: number
  readonly blockInodeBits: number
  readonly rootInode: number
  readonly inodeCount: number
  readonly freeInodeCount: number
  /** With those that the trees of free space and their reserve have. */
  readonly freeBlockCount: number
  /** As number of a block of the filesystem, with the number of its group in front. */
  readonly logStart: number
  readonly logBlocks: number
  readonly hasLogVersion2: boolean
  readonly hasLazyCounts: boolean
  readonly hasFreeInodeTree: boolean
  readonly hasReverseMap: boolean
  readonly hasReflink: boolean
  readonly uuid: Uint8Array
  /** What stands in other structures; differs from `uuid` where that was changed. */
  readonly metadataUuid: Uint8Array
}

/**
 * The superblock, checked for everything that does not need another block. Sources: "XFS Algorithms & Data Structures",
 * 3rd edition, "Superblocks"; `struct xfs_dsb` in the kernel's fs/xfs/libxfs/xfs_format.h.
 *
 * @param sector the whole first sector, for its checksum
 * @throws SurveyError
 */
export function parseXfsSuperblock(sector: Fields): XfsSuperblock {
  assertKnownFeatures(sector)
  const hasChecksums = versionOf(sector) === 5
  if (hasChecksums) assertXfsChecksum(sector, CHECKSUM_AT, 'the superblock')
  ensure(sector.u8(126) === 0, 'not-clean', 'its making was not finished')
  ensure(
    !hasChecksums || (sector.u32(216) & INCOMPAT.needsRepair) === 0,
    'has-errors',
    'it is marked as in need of repair',
  )
  ensure(sector.u64(16) === 0 && sector.u64(24) === 0, 'opaque', 'a part of it is on a realtime device')
  ensure(
    sector.u64(48) !== 0,
    'opaque',
    'its log is on another device, so whether it is clean cannot be seen',
  )
  assertGeometry(sector)
  return fieldsOf(sector, hasChecksums)
}

/** How long the sector is whose checksum is in the superblock; checked as far as it is needed to read it. */
export function xfsSectorBytes(head: Fields): number {
  const sectorBytes = head.u16(102)
  ensure(
    isPowerOfTwo(sectorBytes, 512, 32768),
    'inconsistent',
    `sectors of ${sectorBytes} bytes are not possible`,
  )
  return sectorBytes
}

function versionOf(sector: Fields): number {
  return sector.u16(100) & 0xf
}

function assertKnownFeatures(sector: Fields): void {
  const [version, versionFlags] = [versionOf(sector), sector.u16(100) & ~0xf]
  ensure(version === 4 || version === 5, 'unknown-feature', `version ${version} is not known`)
  const isV5 = version === 5
  const features = [
    ['version', unknownOf(versionFlags, VERSION)],
    ['further', unknownOf(sector.u32(200), VERSION2)],
    ['compatible', isV5 ? sector.u32(208) : 0],
    ['read-only compatible', isV5 ? unknownOf(sector.u32(212), RO_COMPAT) : 0],
    ['incompatible', isV5 ? unknownOf(sector.u32(216), INCOMPAT) : 0],
    ['log', isV5 ? unknownOf(sector.u32(220), LOG_INCOMPAT) : 0],
  ] as const
  for (const [kind, bits] of features) {
    ensure(bits === 0, 'unknown-feature', `it has unknown ${kind} features ${hex(bits)}`)
  }
  const needed =
    VERSION.directories2 | VERSION.extentFlags | (isV5 ? VERSION.logVersion2 | VERSION.moreBits : 0)
  ensure(
    (versionFlags & needed) === needed,
    'unknown-feature',
    `it has the features ${hex(versionFlags)} only, as versions that are not known`,
  )
  const [flags, copy] = [sector.u32(200), sector.u32(204)]
  // There was a time when the second was written for the first; later they are kept the same.
  ensure(
    copy === flags || copy === 0,
    'inconsistent',
    `it says twice what features it has, ${hex(flags)} and ${hex(copy)}`,
  )
  ensure(
    flags === 0 || (versionFlags & VERSION.moreBits) !== 0,
    'inconsistent',
    'it has further features and says that it has none',
  )
  ensure(((flags & VERSION2.checksums) !== 0) === isV5, 'inconsistent', 'version and checksums do not agree')
  ensure(sector.u8(179) === 0, 'unknown-feature', 'it is shared by several machines')
}

function assertGeometry(sector: Fields): void {
  const check = (holds: boolean, message: string) => ensure(holds, 'inconsistent', message)
  const logarithm = (at: number, of: number) => 2 ** sector.u8(at) === of
  const [blockBytes, sectorBytes, inodeBytes] = [sector.u32(4), xfsSectorBytes(sector), sector.u16(104)]
  check(isPowerOfTwo(blockBytes, 512, 65536), `blocks of ${blockBytes} bytes are not possible`)
  check(sectorBytes <= blockBytes, `sectors of ${sectorBytes} bytes are larger than blocks`)
  check(
    isPowerOfTwo(inodeBytes, 256, Math.min(2048, blockBytes)),
    `inodes of ${inodeBytes} bytes are not possible`,
  )
  check(sector.u16(106) * inodeBytes === blockBytes, 'inodes do not fill blocks')
  const hasLogarithms =
    logarithm(120, blockBytes) &&
    logarithm(121, sectorBytes) &&
    logarithm(122, inodeBytes) &&
    logarithm(123, sector.u16(106))
  check(hasLogarithms, 'sizes and their logarithms do not agree')
  const [blockCount, groupBlocks, groupCount] = [sector.u64(8), sector.u32(84), sector.u32(88)]
  check(Number.isSafeInteger(blockCount * blockBytes), `a size of ${blockCount} blocks is out of range`)
  check(
    groupBlocks >= MIN_GROUP_BLOCKS && groupBlocks * blockBytes <= MAX_GROUP_BYTES,
    `groups of ${groupBlocks} blocks are not possible`,
  )
  check(
    sector.u8(124) === Math.ceil(Math.log2(groupBlocks)),
    'groups and the bits for their blocks do not agree',
  )
  check(
    Math.ceil(blockCount / groupBlocks) === groupCount,
    `${groupCount} groups of ${groupBlocks} blocks do not make ${blockCount} blocks`,
  )
  check(blockCount - (groupCount - 1) * groupBlocks >= MIN_GROUP_BLOCKS, 'its last group is too small')
  const rootGroup = Math.floor(sector.u64(56) / 2 ** (sector.u8(124) + sector.u8(123)))
  check(rootGroup < groupCount, 'its root folder lies behind its end')
  check(sector.u64(144) <= blockCount, 'it has more free blocks than blocks')
}

function fieldsOf(sector: Fields, hasChecksums: boolean): XfsSuperblock {
  const readOnlyFeatures = hasChecksums ? sector.u32(212) : 0
  const uuid = sector.slice(32, 16)
  const hasMetadataUuid = hasChecksums && (sector.u32(216) & INCOMPAT.metadataUuid) !== 0
  return {
    hasChecksums,
    blockBytes: sector.u32(4),
    sectorBytes: sector.u16(102),
    blockCount: sector.u64(8),
    groupBlocks: sector.u32(84),
    groupCount: sector.u32(88),
    groupBits: sector.u8(124),
    blockInodeBits: sector.u8(123),
    rootInode: sector.u64(56),
    inodeCount: sector.u64(128),
    freeInodeCount: sector.u64(136),
    freeBlockCount: sector.u64(144),
    logStart: sector.u64(48),
    logBlocks: sector.u32(96),
    hasLogVersion2: (sector.u16(100) & VERSION.logVersion2) !== 0,
    hasLazyCounts: (sector.u32(200) & VERSION2.lazyCounts) !== 0,
    hasFreeInodeTree: (readOnlyFeatures & RO_COMPAT.freeInodeTree) !== 0,
    hasReverseMap: (readOnlyFeatures & RO_COMPAT.reverseMap) !== 0,
    hasReflink: (readOnlyFeatures & RO_COMPAT.reflink) !== 0,
    uuid,
    metadataUuid: hasMetadataUuid ? sector.slice(248, 16) : uuid,
  }
}
