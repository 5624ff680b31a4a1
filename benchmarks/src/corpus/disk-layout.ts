import type { FileHandle } from 'node:fs/promises'
import { encodePartitionTable, PARTITION_TYPE, SECTOR_BYTES } from './gpt.ts'

const MIB = 1 << 20

/** A range of bytes of a disk. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** Where the partitions of a disk lie: 1 MiB free, the EFI system partition, the root, 1 MiB free. */
export interface DiskLayout {
  readonly diskBytes: number
  readonly esp: ByteRange
  readonly root: ByteRange
}

/** Lays a disk out as installers do, with a smaller EFI system partition on small disks. */
export function layOutDisk(diskBytes: number): DiskLayout {
  if (!Number.isSafeInteger(diskBytes) || diskBytes % MIB !== 0 || diskBytes < 32 * MIB) {
    throw new RangeError(`A disk of ${diskBytes} bytes cannot be made: give whole MiB, at least 32.`)
  }
  const espBytes = diskBytes >= 1024 * MIB ? 256 * MIB : 8 * MIB
  const rootOffset = MIB + espBytes
  return {
    diskBytes,
    esp: { offset: MIB, length: espBytes },
    root: { offset: rootOffset, length: diskBytes - MIB - rootOffset },
  }
}

/** Writes the partition table of a layout to the image of a disk. */
export async function writePartitionTable(image: FileHandle, layout: DiskLayout): Promise<void> {
  const { head, tail } = encodePartitionTable(layout.diskBytes / SECTOR_BYTES, DISK_ID, [
    { type: PARTITION_TYPE.efiSystem, id: ESP_ID, name: 'esp', ...sectors(layout.esp) },
    { type: PARTITION_TYPE.linuxFilesystem, id: ROOT_ID, name: 'root', ...sectors(layout.root) },
  ])
  await image.write(head, 0, head.length, 0)
  await image.write(tail, 0, tail.length, layout.diskBytes - tail.length)
}

const DISK_ID = '5A3E8E0C-8F1B-4B6C-9D52-0D8E5F5B7A01'
const ESP_ID = '5A3E8E0C-8F1B-4B6C-9D52-0D8E5F5B7A02'
const ROOT_ID = '5A3E8E0C-8F1B-4B6C-9D52-0D8E5F5B7A03'

function sectors(range: ByteRange): { firstSector: number; sectorCount: number } {
  return { firstSector: range.offset / SECTOR_BYTES, sectorCount: range.length / SECTOR_BYTES }
}
