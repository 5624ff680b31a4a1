import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { assertXfsChecksum, assertXfsUuid } from './checksum.ts'
import { XFS_MAGIC, type XfsSuperblock } from './superblock.ts'

/** Says in a list that there is nothing. */
const NOTHING = 0xffffffff
const INODE_LISTS = 64
/** Behind this, on version 5, the list of reserved blocks begins. */
const RESERVE_HEADER_BYTES = 36

/** What the four sectors at the beginning of a group say. Blocks are numbers within the group. */
export interface GroupHeaders {
  readonly group: number
  readonly blockCount: number
  readonly byNumber: { readonly root: number; readonly levels: number }
  readonly bySize: { readonly root: number; readonly levels: number }
  readonly freeBlockCount: number
  readonly longestRun: number
  /** Nodes of the trees that are counted with the free blocks, but for their roots. */
  readonly treeBlockCount: number
  /** Nodes of the tree of reverse mappings, with its root. 0 where there is none. */
  readonly reverseMapBlockCount: number
  /** Blocks put aside for the trees of free space, which are not in these trees. */
  readonly reserve: readonly number[]
  /** Roots of trees that only have to be there: of inodes, free inodes, reverse mappings, shared blocks. */
  readonly otherRoots: readonly number[]
  readonly inodeCount: number
  readonly freeInodeCount: number
}

/**
 * Reads and checks the copy of the superblock, the headers of free space and inodes, and the list of reserved blocks.
 * Source: "XFS Algorithms & Data Structures", "Allocation Groups".
 *
 * @throws SurveyError
 */
export async function readGroupHeaders(
  reader: VolumeReader,
  superblock: XfsSuperblock,
  group: number,
): Promise<GroupHeaders> {
  const { sectorBytes, groupBlocks, blockBytes, blockCount } = superblock
  const sector = (index: number) =>
    reader.fields(group * groupBlocks * blockBytes + index * sectorBytes, sectorBytes, 'big')
  const place = { superblock, group, blockCount: Math.min(groupBlocks, blockCount - group * groupBlocks) }
  if (group > 0) assertCopy(await sector(0), superblock, group)
  const space = await sector(1)
  const inodes = await sector(2)
  assertHeader(space, 'XAGF', { checksum: 216, uuid: 64 }, place)
  assertHeader(inodes, 'XAGI', { checksum: 312, uuid: 296 }, place)
  assertNoOrphans(inodes, group)
  return {
    group,
    blockCount: place.blockCount,
    byNumber: { root: space.u32(16), levels: space.u32(28) },
    bySize: { root: space.u32(20), levels: space.u32(32) },
    freeBlockCount: space.u32(52),
    longestRun: space.u32(56),
    treeBlockCount: space.u32(60),
    reverseMapBlockCount: superblock.hasReverseMap ? space.u32(80) : 0,
    reserve: reserveIn(await sector(3), space, superblock, group),
    otherRoots: [
      inodes.u32(20),
      ...(superblock.hasFreeInodeTree ? [inodes.u32(328)] : []),
      ...(superblock.hasReverseMap ? [space.u32(24)] : []),
      ...(superblock.hasReflink ? [space.u32(88)] : []),
    ],
    inodeCount: inodes.u32(16),
    freeInodeCount: inodes.u32(28),
  }
}

/** The copy says where things lie as it was when it was written last, which is when the filesystem grew. */
function assertCopy(copy: Fields, superblock: XfsSuperblock, group: number): void {
  const isSame =
    copy.says(0, XFS_MAGIC) &&
    copy.u32(4) === superblock.blockBytes &&
    copy.u64(8) === superblock.blockCount &&
    copy.u32(84) === superblock.groupBlocks &&
    copy.u32(88) === superblock.groupCount &&
    copy.u16(102) === superblock.sectorBytes
  ensure(isSame, 'inconsistent', `the copy of the superblock in group ${group} is another`)
}

interface GroupPlace {
  readonly superblock: XfsSuperblock
  readonly group: number
  readonly blockCount: number
}

function assertHeader(
  header: Fields,
  magic: string,
  at: { readonly checksum: number; readonly uuid: number },
  { superblock, group, blockCount }: GroupPlace,
): void {
  const name = `the header ${magic} of group ${group}`
  ensure(header.says(0, magic), 'inconsistent', `${name} is not there`)
  if (superblock.hasChecksums) {
    assertXfsChecksum(header, at.checksum, name)
    assertXfsUuid(header, at.uuid, superblock.metadataUuid, name)
  }
  ensure(header.u32(4) === 1, 'unknown-feature', `${name} has the unknown version ${header.u32(4)}`)
  const isHere = header.u32(8) === group && header.u32(12) === blockCount
  ensure(isHere, 'inconsistent', `${name} is of group ${header.u32(8)} with ${header.u32(12)} blocks`)
}

function assertNoOrphans(inodes: Fields, group: number): void {
  for (let list = 0; list < INODE_LISTS; list++) {
    const isEmpty = inodes.u32(40 + 4 * list) === NOTHING
    ensure(isEmpty, 'not-clean', `group ${group} has orphaned inodes that are to be removed`)
  }
}

/** The list is a ring, of which the header of free space says where it begins and ends. */
function reserveIn(sector: Fields, space: Fields, superblock: XfsSuperblock, group: number): number[] {
  const name = `the list of reserved blocks of group ${group}`
  if (superblock.hasChecksums) {
    assertXfsChecksum(sector, 32, name)
    ensure(sector.says(0, 'XAFL') && sector.u32(4) === group, 'inconsistent', `${name} is not there`)
    assertXfsUuid(sector, 8, superblock.metadataUuid, name)
  }
  const headerBytes = superblock.hasChecksums ? RESERVE_HEADER_BYTES : 0
  const capacity = Math.floor((sector.length - headerBytes) / 4)
  const [first, last, count] = [space.u32(40), space.u32(44), space.u32(48)]
  // Some kernels made rings that were one shorter. They disagree about what is in a list that has gone round.
  const isRing =
    first < capacity &&
    last < capacity &&
    count <= capacity &&
    (first + count - 1 + capacity) % capacity === last
  ensure(isRing, 'inconsistent', `${name} has ${count} blocks from ${first} to ${last} of ${capacity}`)
  return Array.from({ length: count }, (_, i) => sector.u32(headerBytes + 4 * ((first + i) % capacity)))
}
