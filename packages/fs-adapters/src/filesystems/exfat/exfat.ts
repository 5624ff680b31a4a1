import { forEachRun } from '../common/bitmap-runs.ts'
import { ClaimedBlocks } from '../common/claimed-blocks.ts'
import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { type FreeBlocks, FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure } from '../common/survey-error.ts'
import { utf16 } from '../common/utf16.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { type Allocation, AllocationTable } from './allocation-table.ts'
import { type ExfatGeometry, FIRST_CLUSTER, readBootRegion } from './boot-region.ts'
import { addToChecksum } from './checksums.ts'
import { claimFiles, placeOf, type SystemEntries } from './directories.ts'

const MAX_UPCASE_BYTES = 2 * 65536
const MAX_LABEL_CHARACTERS = 11

/**
 * exFAT. Source: "exFAT file system specification", revision 1.00, which each part names by section.
 *
 * The bitmap of clusters has no checksum, so it is compared with what all files and directories have.
 */
export const EXFAT: FilesystemModule = { probe }

function probe(head: Fields): RecognisedFilesystem | undefined {
  if (head.length < 512 || !head.says(3, 'EXFAT   ')) return undefined
  const serial = head.u32(100).toString(16).toUpperCase().padStart(8, '0')
  return {
    identity: {
      type: 'exfat',
      label: undefined,
      uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
      blockBytes: 2 ** (head.u8(108) + head.u8(109)),
      sizeBytes: (head.u32(72) + head.u32(76) * 2 ** 32) * 2 ** head.u8(108),
    },
    survey: (reader) => survey(reader, head),
  }
}

async function survey(reader: VolumeReader, head: Fields): Promise<Survey> {
  const geometry = await readBootRegion(reader, head)
  const claimed = new ClaimedBlocks(geometry.clusterCount)
  const table = new AllocationTable(reader, geometry, claimed)
  await table.assertReserved()
  const system = await claimFiles(reader, geometry, table)
  await claimUpcase(reader, geometry, table, system)
  const bitmap = bitmapOf(system, geometry)
  await table.claim(bitmap)
  const free = await readBitmap(reader, geometry, table, claimed, bitmap)
  return { notUsed: free.extents(geometry.clusterBytes, geometry.dataStart), label: labelOf(system) }
}

/** Source: "Up-case Table Directory Entry". The table is read for its checksum only. */
async function claimUpcase(
  reader: VolumeReader,
  geometry: ExfatGeometry,
  table: AllocationTable,
  { upcaseTables }: SystemEntries,
): Promise<void> {
  const [entry, second] = upcaseTables
  const place = entry && placeOf(entry, false, geometry.clusterBytes)
  ensure(
    entry !== undefined && place !== undefined && second === undefined,
    'inconsistent',
    'it has not one table of upper case letters',
  )
  const length = entry.u64(24)
  ensure(length <= MAX_UPCASE_BYTES, 'inconsistent', `a table of letters of ${length} bytes is not possible`)
  await table.claim(place)
  let checksum = 0
  let left = length
  for await (const piece of pieces(reader, geometry, table, place)) {
    checksum = addToChecksum(checksum, piece.subarray(0, left))
    left -= Math.min(left, piece.length)
  }
  ensure(checksum === entry.u32(4), 'bad-checksum', 'the checksum of the table of letters is wrong')
}

/** Where the bitmap of clusters lies. Source: "Allocation Bitmap Directory Entry". */
function bitmapOf({ bitmaps }: SystemEntries, { clusterCount, clusterBytes }: ExfatGeometry): Allocation {
  const [entry, second] = bitmaps
  ensure(entry !== undefined, 'inconsistent', 'it has no bitmap of clusters')
  const isOnly = second === undefined && entry.u8(1) === 0
  ensure(isOnly, 'unknown-feature', 'it has two bitmaps of clusters, of which one is in use at a time')
  const place = placeOf(entry, false, clusterBytes)
  const isLongEnough = entry.u64(24) === Math.ceil(clusterCount / 8)
  ensure(
    place !== undefined && isLongEnough,
    'inconsistent',
    'the bitmap does not fit the number of clusters',
  )
  return place
}

async function readBitmap(
  reader: VolumeReader,
  geometry: ExfatGeometry,
  table: AllocationTable,
  claimed: ClaimedBlocks,
  bitmap: Allocation,
): Promise<FreeBlocks> {
  const { clusterCount } = geometry
  const free = new FreeBlocksBuilder(clusterCount)
  let first = 0
  for await (const read of pieces(reader, geometry, table, bitmap)) {
    const bits = Math.min(read.length * 8, clusterCount - first)
    if (bits <= 0) break
    const piece = read.subarray(0, Math.ceil(bits / 8))
    claimed.assertAllocated(piece, first)
    forEachRun(piece, bits, (start, count, isAllocated) => {
      if (!isAllocated) free.addFree(first + start, count)
    })
    first += bits
  }
  return free.finish()
}

/** The clusters of an allocation that was claimed, in pieces that are not too large to be read at once. */
async function* pieces(
  reader: VolumeReader,
  { dataStart, clusterBytes }: ExfatGeometry,
  table: AllocationTable,
  allocation: Allocation,
): AsyncGenerator<Uint8Array> {
  const pieceBytes = Math.min(clusterBytes, PIECE_BYTES)
  for await (const cluster of table.clusters(allocation)) {
    const start = dataStart + (cluster - FIRST_CLUSTER) * clusterBytes
    for (let done = 0; done < clusterBytes; done += pieceBytes) yield reader.bytes(start + done, pieceBytes)
  }
}

function labelOf({ labels }: SystemEntries): string | undefined {
  const [entry] = labels
  if (entry === undefined) return undefined
  ensure(entry.u8(1) <= MAX_LABEL_CHARACTERS, 'inconsistent', 'the label is longer than its entry')
  return utf16(entry.slice(2, entry.u8(1) * 2))
}
