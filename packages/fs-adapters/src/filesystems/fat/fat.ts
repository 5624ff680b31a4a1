import { forEachRun } from '../common/bitmap-runs.ts'
import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { readAllocation } from './allocation-table.ts'
import { type FatGeometry, fatGeometry } from './boot-sector.ts'
import { referFromDirectories } from './directories.ts'

const FS_INFO_UNKNOWN = 0xffffffff

/**
 * FAT12, FAT16 and FAT32. Source: "Microsoft Extensible Firmware Initiative FAT32 File System Specification", 1.03.
 *
 * FAT has no checksums. A map relies on the flags that say it was unmounted, on copies of the allocation table being
 * equal, on chains and directories of which no two lead to the same cluster and none to a free one, and on the count of
 * free clusters where there is one.
 */
export const FAT: FilesystemModule = { probe }

function probe(head: Fields): RecognisedFilesystem | undefined {
  const geometry = fatGeometry(head)
  if (geometry === undefined) return undefined
  // Serial number and label are there only behind a signature.
  const at = geometry.type === 'fat32' ? 66 : 38
  const isNamed = head.u8(at) === 0x29
  const label = isNamed ? head.text(at + 5, 11) : undefined
  const serial = head
    .u32(at + 1)
    .toString(16)
    .toUpperCase()
    .padStart(8, '0')
  return {
    identity: {
      type: geometry.type,
      label: label === 'NO NAME' ? undefined : label,
      uuid: isNamed ? `${serial.slice(0, 4)}-${serial.slice(4)}` : undefined,
      blockBytes: geometry.clusterBytes,
      sizeBytes: geometry.sizeBytes,
    },
    survey: (reader) => survey(reader, head, geometry),
  }
}

async function survey(reader: VolumeReader, head: Fields, geometry: FatGeometry): Promise<Survey> {
  const { clusterCount, clusterBytes, dataStart, sizeBytes } = geometry
  ensure(
    sizeBytes <= reader.sizeBytes,
    'out-of-range',
    `the filesystem has ${sizeBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  // Windows and Linux set this while it is mounted.
  const state = head.u8(geometry.type === 'fat32' ? 65 : 37)
  ensure((state & 1) === 0, 'not-clean', 'it is mounted or was not unmounted')
  ensure((state & 2) === 0, 'has-errors', 'it is marked as having errors')
  if (geometry.type === 'fat32') {
    assertFat32(head)
    await assertBackup(reader, head, geometry)
  }

  const clusters = await readAllocation(reader, geometry)
  await referFromDirectories(reader, geometry, clusters)
  clusters.assertAllocated()
  const free = new FreeBlocksBuilder(clusterCount)
  let freeCount = 0
  forEachRun(clusters.allocated, clusterCount, (start, count, isAllocated) => {
    if (isAllocated) return
    freeCount += count
    free.addFree(start, count)
  })
  await assertFsInfo(reader, geometry, freeCount)
  return { notUsed: free.finish().extents(clusterBytes, dataStart) }
}

function assertFat32(head: Fields): void {
  ensure(head.u16(42) === 0, 'unknown-feature', `version ${head.u16(42)} of FAT32 is not known`)
  // Only one of the tables is in use then, and the others may say anything.
  ensure((head.u16(40) & 0x80) === 0, 'unknown-feature', 'its allocation tables are not copies of each other')
}

/** FAT32 has a copy of its boot sector. What partitioning tools change in one of them does not matter here. */
async function assertBackup(reader: VolumeReader, head: Fields, geometry: FatGeometry): Promise<void> {
  const { sectorBytes, tableStart } = geometry
  const at = head.u16(50) * sectorBytes
  if (at === 0 || at >= tableStart) return // there is none
  const backup = await reader.fields(at, 512)
  const isSame = [
    [11, 24],
    [32, 50],
  ].every(
    ([from, to]) => Buffer.compare(head.bytes.subarray(from, to), backup.bytes.subarray(from, to)) === 0,
  )
  ensure(isSame, 'inconsistent', 'the boot sector and its copy differ')
}

/** FAT32 counts its free clusters in a sector of its own. */
async function assertFsInfo(reader: VolumeReader, geometry: FatGeometry, freeCount: number): Promise<void> {
  if (geometry.fsInfoAt === undefined) return
  const fields = await reader.fields(geometry.fsInfoAt, 512)
  const isThere = fields.says(0, 'RRaA') && fields.says(484, 'rrAa') && fields.u32(508) === 0xaa550000
  ensure(isThere, 'inconsistent', 'the sector with the count of free clusters is damaged')
  const told = fields.u32(488)
  ensure(
    told === freeCount || told === FS_INFO_UNKNOWN,
    'inconsistent',
    `${freeCount} clusters are free, but it is said to have ${told}`,
  )
}
