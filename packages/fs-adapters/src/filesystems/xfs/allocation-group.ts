import type { FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { FreeRuns } from './free-runs.ts'
import { type FreeRun, type FreeSpaceTree, walkFreeSpaceTree } from './free-space-tree.ts'
import { type GroupHeaders, readGroupHeaders } from './group-headers.ts'
import type { XfsSuperblock } from './superblock.ts'

/** What a group adds to the sums of the superblock. */
export interface GroupCounts {
  readonly freeBlocks: number
  readonly inodes: number
  readonly freeInodes: number
}

/**
 * Adds what is free in a group. Each run of free blocks stands in two trees, one by number and one by size; both have
 * to have the same ones, and as many as the header of the group says, and nothing of what is known to be in use.
 *
 * @throws SurveyError
 */
export async function surveyGroup(
  reader: VolumeReader,
  superblock: XfsSuperblock,
  group: number,
  free: FreeBlocksBuilder,
): Promise<GroupCounts> {
  const headers = await readGroupHeaders(reader, superblock, group)
  const { runs, nodes } = await readTrees(reader, superblock, headers)
  for (const { start, count, what } of reserved(superblock, headers, nodes)) {
    const name = `group ${group} has ${what} at block ${start}`
    ensure(start + count <= headers.blockCount, 'out-of-range', `${name}, beyond its end`)
    ensure(!runs.hasAnyOf(start, count), 'inconsistent', `${name}, which is said to be free`)
  }
  for (const { start, count } of runs) free.addFree(group * superblock.groupBlocks + start, count)
  const { freeBlockCount, treeBlockCount, reserve, inodeCount, freeInodeCount } = headers
  return {
    freeBlocks: freeBlockCount + reserve.length + (superblock.hasLazyCounts ? treeBlockCount : 0),
    inodes: inodeCount,
    freeInodes: freeInodeCount,
  }
}

async function readTrees(
  reader: VolumeReader,
  superblock: XfsSuperblock,
  headers: GroupHeaders,
): Promise<{ readonly runs: FreeRuns; readonly nodes: readonly number[] }> {
  const { group, blockCount, freeBlockCount, longestRun, treeBlockCount, reverseMapBlockCount } = headers
  const check = (holds: boolean, what: string) =>
    ensure(holds, 'inconsistent', `the free space of group ${group} ${what}`)
  const place = { superblock, group, blockCount, maxNodes: treeBlockCount + 1 }
  const runs = new FreeRuns()
  const byNumber = await walkFreeSpaceTree(reader, place, { ...BY_NUMBER, ...headers.byNumber }, (run) =>
    runs.add(run),
  )
  check(runs.blockCount === freeBlockCount, `is ${runs.blockCount} blocks, its header says ${freeBlockCount}`)
  check(runs.longest === longestRun, `has a longest run of ${runs.longest}, its header says ${longestRun}`)
  let runsBySize = 0
  const bySize = await walkFreeSpaceTree(
    reader,
    place,
    { ...BY_SIZE, ...headers.bySize },
    ({ start, count }) => {
      const run = runs.lastUpTo(start)
      check(run?.start === start && run.count === count, 'is not the same in both trees')
      runsBySize++
    },
  )
  // They are in strict order, so none is there twice.
  check(runsBySize === runs.length, 'is not the same in both trees')
  const nodes = [...byNumber, ...bySize]
  const treeBlocks = nodes.length - 2 + Math.max(0, reverseMapBlockCount - 1)
  check(treeBlocks === treeBlockCount, `has ${treeBlocks} nodes, its header says ${treeBlockCount}`)
  return { runs, nodes }
}

const BY_NUMBER: Omit<FreeSpaceTree, 'root' | 'levels'> = {
  magic: 'ABTB',
  magicWithChecksum: 'AB3B',
  // Runs that touch would have been made one.
  isBefore: (a, b) => a.start + a.count < b.start,
  isKeyOf: (key, first) => key.start === first.start,
}

const BY_SIZE: Omit<FreeSpaceTree, 'root' | 'levels'> = {
  magic: 'ABTC',
  magicWithChecksum: 'AB3C',
  isBefore: (a, b) => a.count < b.count || (a.count === b.count && a.start < b.start),
  isKeyOf: (key, first) => key.start === first.start && key.count === first.count,
}

/** What is known to be in use without looking at files. */
function* reserved(
  superblock: XfsSuperblock,
  headers: GroupHeaders,
  nodes: readonly number[],
): Generator<FreeRun & { readonly what: string }> {
  const { sectorBytes, blockBytes, groupBits, blockInodeBits, rootInode, logStart, logBlocks } = superblock
  yield { start: 0, count: Math.ceil((4 * sectorBytes) / blockBytes), what: 'its headers' }
  for (const start of nodes) yield { start, count: 1, what: 'a node of a tree of free space' }
  for (const start of headers.otherRoots) yield { start, count: 1, what: 'the root of a tree' }
  for (const start of headers.reserve) yield { start, count: 1, what: 'a reserved block' }
  const groupSize = 2 ** groupBits
  const root = Math.floor(rootInode / 2 ** blockInodeBits)
  if (Math.floor(root / groupSize) === headers.group) {
    yield { start: root % groupSize, count: 1, what: 'the root folder' }
  }
  if (Math.floor(logStart / groupSize) === headers.group) {
    yield { start: logStart % groupSize, count: logBlocks, what: 'the log' }
  }
}
