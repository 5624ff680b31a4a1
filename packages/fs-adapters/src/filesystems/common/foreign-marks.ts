import type { Fields } from './fields.ts'

interface Mark {
  readonly name: string
  readonly offset: number
  readonly bytes: string
}

const SECTOR = 512
const KiB = 1024

/**
 * Marks of what may be on a volume and has no module here, each by its own documentation of the structures on disk.
 * Making a filesystem does not always wipe the marks of the one before, and its bitmaps may still look right where
 * the new one has not written yet. So these make a volume ambiguous on which a known filesystem was recognised.
 */
const MARKS: readonly Mark[] = [
  { name: 'APFS', offset: 32, bytes: 'NXSB' },
  {
    name: 'bcache',
    offset: 4 * KiB + 24,
    bytes: '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81',
  },
  {
    name: 'bcachefs',
    offset: 4 * KiB + 24,
    bytes: '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef',
  },
  { name: 'BitLocker', offset: 3, bytes: '-FVE-FS-' },
  // On removable disks it stands behind the boot sector of a FAT that only serves to show a message.
  {
    name: 'BitLocker',
    offset: 424,
    bytes: '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01',
  },
  { name: 'BlueStore', offset: 0, bytes: 'bluestore block device' },
  { name: 'btrfs', offset: 64 * KiB + 64, bytes: '_BHRfS_M' },
  { name: 'dm-integrity', offset: 0, bytes: 'integrt\x00' },
  { name: 'EROFS', offset: KiB, bytes: '\xe2\xe1\xf5\xe0' },
  { name: 'F2FS', offset: KiB, bytes: '\x10\x20\xf5\xf2' },
  { name: 'GFS2', offset: 64 * KiB, bytes: '\x01\x16\x19\x70' },
  { name: 'GPT', offset: SECTOR, bytes: 'EFI PART' },
  { name: 'GPT', offset: 4 * KiB, bytes: 'EFI PART' },
  { name: 'HFS+', offset: KiB, bytes: 'H+\x00\x04' },
  { name: 'HFSX', offset: KiB, bytes: 'HX\x00\x05' },
  { name: 'ISO 9660', offset: 32 * KiB + 1, bytes: 'CD001' },
  { name: 'JFS', offset: 32 * KiB, bytes: 'JFS1' },
  { name: 'Linux RAID', offset: 0, bytes: '\xfc\x4e\x2b\xa9' },
  { name: 'Linux RAID', offset: 4 * KiB, bytes: '\xfc\x4e\x2b\xa9' },
  { name: 'Oracle ASM', offset: 32, bytes: 'ORCLDISK' },
  { name: 'ReFS', offset: 3, bytes: 'ReFS\x00\x00\x00\x00' },
  { name: 'ReiserFS', offset: 64 * KiB + 52, bytes: 'ReIsEr' },
  { name: 'SquashFS', offset: 0, bytes: 'hsqs' },
  { name: 'UDF', offset: 32 * KiB + 1, bytes: 'BEA01' },
  { name: 'VDO', offset: 0, bytes: 'dmvdo001' },
  // Uberblocks of ZFS, of which there are 128 in turn, each 1 KiB or as large as a sector.
  ...Array.from({ length: 128 }, (_, n) => ({
    name: 'ZFS',
    offset: (128 + n) * KiB,
    bytes: '\x0c\xb1\xba\x00\x00\x00\x00\x00',
  })),
]

/** Names of foreign things whose marks are in the head of a volume. */
export function foreignMarks(head: Fields): string[] {
  const names = MARKS.filter(({ offset, bytes }) => head.says(offset, bytes)).map(({ name }) => name)
  if (hasPartitions(head)) names.push('partition table')
  return [...new Set(names)]
}

/** Whether the first sector reads as a table of partitions. Boot sectors of filesystems have code there, or zeros. */
function hasPartitions(head: Fields): boolean {
  if (!head.says(510, '\x55\xaa')) return false
  const entries = [0, 1, 2, 3].map((n) => head.fields(446 + 16 * n, 16))
  const isPossible = entries.every((entry) => (entry.u8(0) & 0x7f) === 0)
  return isPossible && entries.some((entry) => entry.u8(4) !== 0 && entry.u32(8) > 0 && entry.u32(12) > 0)
}
