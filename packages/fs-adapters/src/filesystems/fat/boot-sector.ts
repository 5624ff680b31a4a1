import { type Fields, isPowerOfTwo } from '../common/fields.ts'

/** Clusters are numbered from here on: the first two entries of the allocation table are something else. */
export const FIRST_CLUSTER = 2

/** Most clusters of FAT12 and FAT16; the type is told by their number alone. */
const MAX_FAT12_CLUSTERS = 4084
const MAX_FAT16_CLUSTERS = 65524
/** Numbers of clusters have 28 bits, and the last ones mean something else. */
const MAX_FAT32_CLUSTERS = 0x0ffffff5

/** Where things lie on a FAT filesystem. Places and sizes in bytes. */
export interface FatGeometry {
  readonly type: 'fat12' | 'fat16' | 'fat32'
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly clusterBytes: number
  readonly clusterCount: number
  /** Place of the first allocation table; the others follow. */
  readonly tableStart: number
  readonly tableBytes: number
  readonly tableCount: number
  /** Place of the root directory, where it lies in front of the first cluster. */
  readonly rootStart: number
  /** Place of the first cluster. */
  readonly dataStart: number
  readonly media: number
  /** Cluster with which the root directory begins; undefined where it lies in front of the first cluster. */
  readonly rootCluster: number | undefined
  /** Size of the root directory there; 0 where it begins with a cluster. */
  readonly rootBytes: number
  /** Place of the sector that counts free clusters, where there is one. */
  readonly fsInfoAt: number | undefined
}

/**
 * What the boot sector says, or undefined when it is not one of FAT: it has no magic, so everything in it has to be
 * possible. Source: "Boot Sector and BPB" and "FAT Type Determination" of the specification.
 */
export function fatGeometry(head: Fields): FatGeometry | undefined {
  if (head.length < 512 || !head.says(510, '\x55\xaa')) return undefined
  const jumps = head.u8(0) === 0xe9 || (head.u8(0) === 0xeb && head.u8(2) === 0x90)
  const sectorBytes = head.u16(11)
  const clusterSectors = head.u8(13)
  const reservedSectors = head.u16(14)
  const tableCount = head.u8(16)
  const media = head.u8(21)
  const isPossible =
    jumps &&
    isPowerOfTwo(sectorBytes, 512, 4096) &&
    isPowerOfTwo(clusterSectors, 1, 128) &&
    reservedSectors > 0 &&
    (tableCount === 1 || tableCount === 2) &&
    (media === 0xf0 || media >= 0xf8)
  if (!isPossible) return undefined

  const isFat32 = head.u16(22) === 0
  const tableSectors = isFat32 ? head.u32(36) : head.u16(22)
  const rootEntries = head.u16(17)
  const rootSectors = Math.ceil((rootEntries * 32) / sectorBytes)
  const sectors = head.u16(19) || head.u32(32)
  const dataSector = reservedSectors + tableCount * tableSectors + rootSectors
  const clusterCount = Math.floor((sectors - dataSector) / clusterSectors)
  const type = typeOf(isFat32, clusterCount)
  if (type === undefined || isFat32 !== (rootEntries === 0)) return undefined
  const entryBits = { fat12: 12, fat16: 16, fat32: 32 }[type]
  if (tableSectors * sectorBytes * 8 < (clusterCount + FIRST_CLUSTER) * entryBits) return undefined
  const fsInfoSector = isFat32 ? head.u16(48) : 0
  const hasFsInfo = fsInfoSector > 0 && fsInfoSector < reservedSectors
  return {
    type,
    sizeBytes: sectors * sectorBytes,
    sectorBytes,
    clusterBytes: clusterSectors * sectorBytes,
    clusterCount,
    tableStart: reservedSectors * sectorBytes,
    tableBytes: tableSectors * sectorBytes,
    tableCount,
    rootStart: (dataSector - rootSectors) * sectorBytes,
    dataStart: dataSector * sectorBytes,
    media,
    rootCluster: isFat32 ? head.u32(44) : undefined,
    rootBytes: rootEntries * 32,
    fsInfoAt: hasFsInfo ? fsInfoSector * sectorBytes : undefined,
  }
}

function typeOf(isFat32: boolean, clusterCount: number): FatGeometry['type'] | undefined {
  if (clusterCount < 1) return undefined
  // Small ones with the fields of FAT32 are not by the book, but made, and taken by all drivers for what they say.
  if (isFat32) return clusterCount <= MAX_FAT32_CLUSTERS ? 'fat32' : undefined
  if (clusterCount <= MAX_FAT12_CLUSTERS) return 'fat12'
  return clusterCount <= MAX_FAT16_CLUSTERS ? 'fat16' : undefined
}
