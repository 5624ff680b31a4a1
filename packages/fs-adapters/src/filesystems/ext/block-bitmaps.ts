import { forEachRun, setBits } from '../common/bitmap-runs.ts'
import { type FreeBlocks, FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { BitmapPieces } from './bitmap-pieces.ts'
import type { GroupDescriptors } from './group-descriptors.ts'
import { GroupMetadata } from './group-metadata.ts'
import type { ExtLayout } from './layout.ts'

/**
 * Reads the bitmaps of all groups, checks them against descriptors and superblock, and says which blocks are free.
 * Source: "Block and Inode Bitmaps", "Flexible Block Groups" and "Bigalloc" of the kernel's ext4 documentation.
 *
 * @throws SurveyError
 */
export async function surveyGroups(
  reader: VolumeReader,
  layout: ExtLayout,
  descriptors: GroupDescriptors,
): Promise<FreeBlocks> {
  const { superblock } = layout
  const metadata = new GroupMetadata(descriptors, layout)
  const bitmaps = new BitmapPieces(reader, layout, descriptors)
  const free = new FreeBlocksBuilder(superblock.blockCount)
  let freeCount = 0
  for (let group = 0; group < superblock.groupCount; group++) {
    const reserved = reservedBitmap(layout, metadata, group)
    const bitmap = descriptors.isBitmapMissing[group] === 1 ? reserved : await bitmaps.of(group)
    freeCount += addGroup(free, layout, group, bitmap, reserved, descriptors.freeCount[group]!)
  }
  ensure(
    freeCount * superblock.clusterBlocks === superblock.freeBlockCount,
    'inconsistent',
    `bitmaps have ${freeCount * superblock.clusterBlocks} free blocks, the superblock says ${superblock.freeBlockCount}`,
  )
  return free.finish()
}

/** Adds what is free in a group and returns how many clusters that are. */
function addGroup(
  free: FreeBlocksBuilder,
  layout: ExtLayout,
  group: number,
  bitmap: Uint8Array,
  reserved: Uint8Array,
  expectedCount: number,
): number {
  const { clusterBlocks } = layout.superblock
  const start = layout.groupStart(group)
  const end = layout.groupEnd(group)
  const clusters = (end - start) / clusterBlocks
  let freeCount = 0
  assertCovers(bitmap, reserved, clusters, group)
  forEachRun(bitmap, clusters, (first, count, isUsed) => {
    if (isUsed) return
    freeCount += count
    free.addFree(start + first * clusterBlocks, count * clusterBlocks)
  })
  ensure(
    freeCount === expectedCount,
    'inconsistent',
    `the bitmap of group ${group} has ${freeCount} free clusters, its descriptor says ${expectedCount}`,
  )
  return freeCount
}

function assertCovers(bitmap: Uint8Array, reserved: Uint8Array, clusters: number, group: number): void {
  if (bitmap === reserved) return
  for (let i = 0; i < Math.ceil(clusters / 8); i++) {
    if ((reserved[i]! & ~bitmap[i]!) === 0) continue
    const message = `the bitmap of group ${group} has blocks as free that the filesystem itself needs`
    throw new SurveyError('inconsistent', message)
  }
}

/** Bitmap of what the filesystem itself has in a group: copies of the superblock, descriptors, bitmaps, tables. */
function reservedBitmap(layout: ExtLayout, metadata: GroupMetadata, group: number): Uint8Array {
  const { groupClusters, clusterBlocks } = layout.superblock
  const start = layout.groupStart(group)
  const end = layout.groupEnd(group)
  const bitmap = new Uint8Array(groupClusters / 8)
  const reserve = (from: number, count: number) => {
    if (count <= 0) return
    const first = Math.floor((from - start) / clusterBlocks)
    const last = Math.floor((from - start + count - 1) / clusterBlocks)
    setBits(bitmap, first, last - first + 1)
  }
  for (const run of layout.headOf(group)) {
    ensure(run.start + run.count <= end, 'out-of-range', `the head of group ${group} does not fit into it`)
    reserve(run.start, run.count)
  }
  metadata.within(start, end, reserve)
  return bitmap
}
