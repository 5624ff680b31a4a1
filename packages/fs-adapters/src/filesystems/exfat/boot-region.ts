import { type Fields, isPowerOfTwo } from '../common/fields.ts'
import { ensure, hex } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { addToChecksum } from './checksums.ts'

/** Clusters are numbered from here on: the first two entries of the allocation table are something else. */
export const FIRST_CLUSTER = 2

/** Numbers of clusters have 32 bits, and the last ones mean something else. */
const MAX_CLUSTERS = 0xfffffff5
const MAX_CLUSTER_SHIFT = 25

/** The boot region has so many sectors, the last of which repeats its checksum. Its copy follows. */
const REGION_SECTORS = 12
/** Fields of the boot sector that change while the volume is in use, which no checksum covers. */
const UNSUMMED = [106, 107, 112]

const ACTIVE_TABLE = 0x01
const DIRTY = 0x02
const MEDIA_FAILURE = 0x04
/** Says nothing: whoever writes clears it first. */
const CLEAR_TO_ZERO = 0x08

const REVISION = 0x0100
const PERCENT_UNKNOWN = 0xff

/** Where things lie on an exFAT filesystem. Places and sizes in bytes. */
export interface ExfatGeometry {
  readonly sizeBytes: number
  readonly clusterBytes: number
  readonly clusterCount: number
  readonly tableStart: number
  /** Place of the first cluster. */
  readonly dataStart: number
  readonly rootCluster: number
}

/**
 * Reads both copies of the boot region. Source: "Main and Backup Boot Regions" of the specification.
 *
 * @throws SurveyError when a copy is damaged, they differ, or the volume was not unmounted.
 */
export async function readBootRegion(reader: VolumeReader, head: Fields): Promise<ExfatGeometry> {
  const sectorShift = head.u8(108)
  ensure(sectorShift >= 9 && sectorShift <= 12, 'inconsistent', `sectors of 2^${sectorShift} bytes`)
  const sectorBytes = 2 ** sectorShift
  await assertChecksum(reader, sectorBytes, 0)
  await assertChecksum(reader, sectorBytes, REGION_SECTORS)
  const backup = await reader.fields(REGION_SECTORS * sectorBytes, 512)
  const isSame = [...head.bytes.subarray(0, 512)].every(
    (byte, at) => UNSUMMED.includes(at) || byte === backup.u8(at),
  )
  ensure(isSame, 'inconsistent', 'the boot sector and its copy differ')
  assertLeftInOrder(head)
  return parseGeometry(reader, head, sectorBytes)
}

/** The last sector of a boot region has the checksum of the others, over and over. */
async function assertChecksum(reader: VolumeReader, sectorBytes: number, firstSector: number): Promise<void> {
  const region = await reader.fields(firstSector * sectorBytes, REGION_SECTORS * sectorBytes)
  const end = (REGION_SECTORS - 1) * sectorBytes
  const checksum = addToChecksum(0, region.slice(0, end), UNSUMMED)
  let isRight = true
  for (let at = end; at < region.length; at += 4) isRight &&= region.u32(at) === checksum
  ensure(isRight, 'bad-checksum', `the checksum of the boot region at sector ${firstSector} is wrong`)
}

function assertLeftInOrder(head: Fields): void {
  const revision = head.u16(104)
  ensure(revision === REVISION, 'unknown-feature', `revision ${hex(revision)} is not known`)
  const flags = head.u16(106)
  const known = ACTIVE_TABLE | DIRTY | MEDIA_FAILURE | CLEAR_TO_ZERO
  ensure((flags & ~known) === 0, 'unknown-feature', `it has unknown flags ${hex(flags & ~known)}`)
  ensure((flags & DIRTY) === 0, 'not-clean', 'it is mounted or was not unmounted')
  ensure((flags & MEDIA_FAILURE) === 0, 'has-errors', 'it is marked as having places that cannot be read')
  const hasOneTable = head.u8(110) === 1 && (flags & ACTIVE_TABLE) === 0
  ensure(hasOneTable, 'unknown-feature', 'it has two allocation tables, of which one is in use at a time')
  // Linux leaves what it finds here, so this is not compared with the bitmap.
  const percent = head.u8(112)
  ensure(percent <= 100 || percent === PERCENT_UNKNOWN, 'inconsistent', `${percent} % of it are in use`)
}

function parseGeometry(reader: VolumeReader, head: Fields, sectorBytes: number): ExfatGeometry {
  const check = (holds: boolean, message: string) => ensure(holds, 'inconsistent', message)
  const clusterBytes = sectorBytes * 2 ** head.u8(109)
  const [sectors, tableSector, tableSectors, dataSector] = [
    head.u64(72),
    head.u32(80),
    head.u32(84),
    head.u32(88),
  ]
  const [clusterCount, rootCluster] = [head.u32(92), head.u32(96)]
  check(head.says(0, '\xeb\x76\x90') && head.says(510, '\x55\xaa'), 'the boot sector is none')
  check(isZero(head.slice(11, 53)), 'the boot sector has fields of another filesystem')
  check(isPowerOfTwo(clusterBytes, sectorBytes, 2 ** MAX_CLUSTER_SHIFT), 'clusters are too large')
  const sizeBytes = sectors * sectorBytes
  ensure(
    sizeBytes <= reader.sizeBytes,
    'out-of-range',
    `the filesystem has ${sizeBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  check(tableSector >= 2 * REGION_SECTORS, 'the allocation table lies on the boot region')
  check(dataSector >= tableSector + tableSectors, 'clusters begin within the allocation table')
  check(
    clusterCount > 0 && clusterCount <= MAX_CLUSTERS,
    `a number of ${clusterCount} clusters is not possible`,
  )
  check(tableSectors * sectorBytes >= (clusterCount + FIRST_CLUSTER) * 4, 'the allocation table is too small')
  const dataStart = dataSector * sectorBytes
  ensure(
    dataStart + clusterCount * clusterBytes <= sizeBytes,
    'out-of-range',
    `${clusterCount} clusters do not fit into the filesystem`,
  )
  return {
    sizeBytes,
    clusterBytes,
    clusterCount,
    tableStart: tableSector * sectorBytes,
    dataStart,
    rootCluster,
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}
