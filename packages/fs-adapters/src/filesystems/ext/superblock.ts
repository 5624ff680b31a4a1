import { crc32c } from '../common/crc32c.ts'
import { type Fields, isPowerOfTwo } from '../common/fields.ts'
import { ensure, hex } from '../common/survey-error.ts'
import { COMPAT, INCOMPAT, KNOWN_COMPAT, KNOWN_INCOMPAT, KNOWN_RO_COMPAT, RO_COMPAT } from './features.ts'

export const SUPERBLOCK_AT = 1024
export const SUPERBLOCK_BYTES = 1024

/** The only state in which nothing is left to be done; others are errors, orphans, and a replay that was cut short. */
const STATE_VALID = 1
const STATE_ERROR = 2

/** What the superblock of ext2, ext3 and ext4 says. */
export interface ExtSuperblock {
  readonly blockBytes: number
  readonly blockCount: number
  readonly freeBlockCount: number
  readonly firstDataBlock: number
  /** Blocks in a cluster, the unit of the bitmaps; 1 unless the filesystem has bigalloc. */
  readonly clusterBlocks: number
  readonly groupBlocks: number
  readonly groupClusters: number
  readonly groupInodes: number
  readonly inodeBytes: number
  readonly groupCount: number
  readonly descriptorBytes: number
  /** Blocks behind descriptors that are kept for growing. */
  readonly reservedDescriptorBlocks: number
  readonly firstMetaGroup: number
  /** Groups with copies of superblock and descriptors, with `sparse_super2`. */
  readonly backupGroups: readonly number[]
  /** Block of multiple mount protection; 0 when there is none. */
  readonly mmpBlock: number
  readonly compat: number
  readonly incompat: number
  readonly roCompat: number
  readonly uuid: Uint8Array
  /** What checksums of other structures begin with. */
  readonly checksumSeed: number
}

/**
 * The superblock, checked for everything that does not need another block. Source: "Super Block" of the kernel's ext4
 * documentation.
 *
 * @throws SurveyError
 */
export function parseSuperblock(fields: Fields): ExtSuperblock {
  const [compat, incompat, roCompat] = [fields.u32(92), fields.u32(96), fields.u32(100)]
  assertKnown(fields, compat, incompat, roCompat)
  if (roCompat & RO_COMPAT.metadataChecksums) {
    ensure(fields.u8(373) === 1, 'unknown-feature', `checksums are of the unknown type ${fields.u8(373)}`)
    const expected = crc32c(0xffffffff, fields.slice(0, 1020))
    ensure(fields.u32(1020) === expected, 'bad-checksum', 'the checksum of the superblock is wrong')
  }
  assertLeftInOrder(fields, incompat, roCompat)
  const superblock = parseGeometry(fields, compat, incompat, roCompat)
  assertGeometry(superblock, fields)
  return superblock
}

function assertKnown(fields: Fields, compat: number, incompat: number, roCompat: number): void {
  const revision = fields.u32(76)
  ensure(revision <= 1, 'unknown-feature', `revision ${revision} is not known`)
  // The first revision has neither features nor sizes of inodes.
  const hasFeatures = compat !== 0 || incompat !== 0 || roCompat !== 0
  ensure(revision === 1 || !hasFeatures, 'inconsistent', 'it has features that its revision has not')
  const unknown = [
    ['compatible', compat & ~KNOWN_COMPAT],
    ['incompatible', incompat & ~KNOWN_INCOMPAT],
    ['read-only compatible', roCompat & ~KNOWN_RO_COMPAT],
  ] as const
  for (const [kind, bits] of unknown) {
    ensure(bits === 0, 'unknown-feature', `it has unknown ${kind} features ${hex(bits)}`)
  }
}

function assertLeftInOrder(fields: Fields, incompat: number, roCompat: number): void {
  const state = fields.u16(58)
  const errorCount = fields.u32(76) >= 1 ? fields.u32(404) : 0
  const hasOrphans = (roCompat & RO_COMPAT.orphanPresent) !== 0 || fields.u32(232) !== 0
  ensure(
    (incompat & INCOMPAT.recover) === 0,
    'not-clean',
    'its journal is to be replayed: it is mounted or was not unmounted',
  )
  ensure((state & STATE_ERROR) === 0 && errorCount === 0, 'has-errors', 'it is marked as having errors')
  ensure(state === STATE_VALID, 'not-clean', `its state is ${hex(state)}: it is mounted or was not unmounted`)
  ensure(!hasOrphans, 'not-clean', 'it has orphaned inodes that are to be removed')
}

function parseGeometry(fields: Fields, compat: number, incompat: number, roCompat: number): ExtSuperblock {
  const is64Bit = (incompat & INCOMPAT.bits64) !== 0
  const hasClusters = (roCompat & RO_COMPAT.bigalloc) !== 0
  const blockCount = fields.u32(4) + (is64Bit ? fields.u32(336) * 2 ** 32 : 0)
  const firstDataBlock = fields.u32(20)
  const logBlock = fields.u32(24)
  const logCluster = hasClusters ? fields.u32(28) : logBlock
  ensure(logBlock <= 6, 'inconsistent', `the size of blocks, 2^${10 + logBlock}, is out of range`)
  ensure(
    logCluster >= logBlock && logCluster <= 20,
    'inconsistent',
    `the size of clusters, 2^${10 + logCluster}, is out of range`,
  )
  const groupBlocks = fields.u32(32)
  ensure(groupBlocks > 0, 'inconsistent', 'groups have no blocks')
  const uuid = fields.slice(104, 16)
  return {
    blockBytes: 1024 << logBlock,
    blockCount,
    freeBlockCount: fields.u32(12) + (is64Bit ? fields.u32(344) * 2 ** 32 : 0),
    firstDataBlock,
    clusterBlocks: 2 ** (logCluster - logBlock),
    groupBlocks,
    groupClusters: hasClusters ? fields.u32(36) : groupBlocks,
    groupInodes: fields.u32(40),
    inodeBytes: fields.u32(76) >= 1 ? fields.u16(88) : 128,
    groupCount: Math.ceil((blockCount - firstDataBlock) / groupBlocks),
    descriptorBytes: is64Bit ? fields.u16(254) : 32,
    reservedDescriptorBlocks: fields.u16(206),
    firstMetaGroup: incompat & INCOMPAT.metaGroups ? fields.u32(260) : 0,
    backupGroups: [fields.u32(588), fields.u32(592)],
    mmpBlock: incompat & INCOMPAT.multipleMountProtection ? fields.u64(360) : 0,
    compat,
    incompat,
    roCompat,
    uuid,
    checksumSeed: incompat & INCOMPAT.checksumSeed ? fields.u32(624) : crc32c(0xffffffff, uuid),
  }
}

function assertGeometry(superblock: ExtSuperblock, fields: Fields): void {
  const check = (holds: boolean, message: string) => ensure(holds, 'inconsistent', message)
  const { blockBytes, blockCount, firstDataBlock, clusterBlocks, groupBlocks, groupClusters } = superblock
  const { groupCount, groupInodes, inodeBytes, descriptorBytes, incompat, roCompat, compat } = superblock
  const hasClusters = (roCompat & RO_COMPAT.bigalloc) !== 0
  const bitmapBits = blockBytes * 8
  check(groupClusters > 0 && groupClusters % 8 === 0, `groups of ${groupClusters} clusters are not possible`)
  check(groupClusters <= bitmapBits, 'the bitmap of a group is larger than a block')
  check(groupBlocks === groupClusters * clusterBlocks, 'blocks and clusters of a group do not agree')
  check(blockCount % clusterBlocks === 0, 'it ends within a cluster')
  check(firstDataBlock === (blockBytes === 1024 && !hasClusters ? 1 : 0), 'the first block is out of place')
  check(Number.isSafeInteger(blockCount * blockBytes), `a size of ${blockCount} blocks is out of range`)
  check(blockCount > firstDataBlock, `a size of ${blockCount} blocks is out of range`)
  check(isPowerOfTwo(inodeBytes, 128, blockBytes), `inodes of ${inodeBytes} bytes are not possible`)
  check(groupInodes > 0 && groupInodes <= bitmapBits, `groups of ${groupInodes} inodes are not possible`)
  check(
    groupInodes * groupCount === fields.u32(0),
    `${groupCount} groups of ${groupInodes} inodes do not make the ${fields.u32(0)} that it is said to have`,
  )
  const leastDescriptorBytes = incompat & INCOMPAT.bits64 ? 64 : 32
  check(
    isPowerOfTwo(descriptorBytes, leastDescriptorBytes, 1024),
    `descriptors of ${descriptorBytes} bytes are not possible`,
  )
  const { reservedDescriptorBlocks } = superblock
  const mayReserve = (compat & COMPAT.resizeInode) !== 0 && reservedDescriptorBlocks <= blockBytes / 4
  check(
    reservedDescriptorBlocks === 0 || mayReserve,
    `${reservedDescriptorBlocks} blocks reserved for descriptors are not possible`,
  )
}
