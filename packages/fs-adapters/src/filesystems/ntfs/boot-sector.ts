import { type Fields, isPowerOfTwo } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'

const MAX_CLUSTER_BYTES = 2 ** 21
/** Above this many sectors in a cluster their number is told as the negative of its logarithm. */
const MAX_CLUSTER_SECTORS = 128

/** Fields that both copies must have alike: size of sectors and clusters, and from the size of the volume on. */
const COMPARED = [
  [11, 14],
  [40, 80],
] as const

/** Fields of FAT that must be zero: reserved sectors, tables, entries of the root, sectors, sectors of a table. */
const ZEROS = [
  [14, 21],
  [22, 24],
  [32, 36],
] as const

/** Where things lie on an NTFS filesystem. Places and sizes in bytes where the name says no other unit. */
export interface NtfsGeometry {
  /** With the copy of the boot sector, which lies behind the last cluster. */
  readonly sizeBytes: number
  readonly clusterBytes: number
  readonly clusterCount: number
  /** Size of a record of the master file table. */
  readonly recordBytes: number
  /** Where the master file table and its mirror begin. */
  readonly mftCluster: number
  readonly mirrorCluster: number
}

/**
 * What the boot sector says, compared with its copy. Source: "$Boot" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError
 */
export async function readBootSector(reader: VolumeReader, head: Fields): Promise<NtfsGeometry> {
  const check = (holds: boolean, message: string) => ensure(holds, 'inconsistent', message)
  const sectorBytes = head.u16(11)
  const clusterBytes = sectorBytes * clusterSectorsOf(head)
  check(head.says(510, '\x55\xaa'), 'the boot sector has no signature')
  check(isPowerOfTwo(sectorBytes, 512, 4096), `sectors of ${sectorBytes} bytes are not possible`)
  check(
    isPowerOfTwo(clusterBytes, sectorBytes, MAX_CLUSTER_BYTES),
    `clusters of ${clusterBytes} bytes are not possible`,
  )
  const hasZeros = ZEROS.every(([from, to]) => head.bytes.subarray(from, to).every((byte) => byte === 0))
  check(hasZeros, 'the boot sector has fields of another filesystem')
  const recordBytes = unitBytes(head.u8(64), clusterBytes)
  ensure(
    isPowerOfTwo(recordBytes, 1024, 4096),
    'unknown-feature',
    `records of ${recordBytes} bytes are not known`,
  )
  const sectors = head.u64(40)
  const sizeBytes = (sectors + 1) * sectorBytes
  ensure(
    sizeBytes <= reader.sizeBytes,
    'out-of-range',
    `the filesystem has ${sizeBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  const backup = await reader.fields(sizeBytes - sectorBytes, 512)
  const isSame = COMPARED.every(([from, to]) =>
    Buffer.from(head.bytes.subarray(from, to)).equals(backup.bytes.subarray(from, to)),
  )
  check(isSame && backup.says(3, 'NTFS    '), 'the boot sector and its copy differ')
  const clusterCount = Math.floor((sectors * sectorBytes) / clusterBytes)
  const [mftCluster, mirrorCluster] = [head.u64(48), head.u64(56)]
  const areWithin = mftCluster < clusterCount && mirrorCluster < clusterCount
  ensure(areWithin, 'out-of-range', 'the master file table or its mirror does not lie on the volume')
  return { sizeBytes, clusterBytes, clusterCount, recordBytes, mftCluster, mirrorCluster }
}

/** Sectors in a cluster, unchecked. */
export function clusterSectorsOf(head: Fields): number {
  const told = head.u8(13)
  return told <= MAX_CLUSTER_SECTORS ? told : 2 ** (256 - told)
}

/** Sizes are told in clusters, or as the negative of their logarithm. */
function unitBytes(told: number, clusterBytes: number): number {
  return told < 128 ? told * clusterBytes : 2 ** (256 - told)
}
