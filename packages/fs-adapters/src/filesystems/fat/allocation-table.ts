import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { type FatGeometry, FIRST_CLUSTER } from './boot-sector.ts'
import { ClusterUse } from './cluster-use.ts'

/** By type: bits of an entry that count, and those of entry 1 that say "unmounted" and "no errors". */
const ENTRIES = {
  fat12: { bits: 12, mask: 0xfff, clean: 0, noErrors: 0 },
  fat16: { bits: 16, mask: 0xffff, clean: 0x8000, noErrors: 0x4000 },
  fat32: { bits: 32, mask: 0x0fffffff, clean: 0x08000000, noErrors: 0x04000000 },
} as const

/**
 * Reads the allocation tables. Source: "FAT Data Structure" of the specification.
 *
 * @throws SurveyError when copies differ, two chains meet, or the volume was not unmounted.
 */
export async function readAllocation(reader: VolumeReader, geometry: FatGeometry): Promise<ClusterUse> {
  const { clusterCount, type } = geometry
  const clusters = new ClusterUse(clusterCount, ENTRIES[type].mask)
  const entryCount = clusterCount + FIRST_CLUSTER
  const { bits } = ENTRIES[type]
  // A table of FAT12 is smaller than a piece, so its entries never lie across two.
  const perPiece = (PIECE_BYTES * 8) / (bits === 12 ? 16 : bits)
  for (let first = 0; first < entryCount; first += perPiece) {
    const count = Math.min(perPiece, entryCount - first)
    const piece = await readPiece(
      reader,
      geometry,
      Math.floor((first * bits) / 8),
      Math.ceil((count * bits) / 8),
    )
    for (let i = 0; i < count; i++) {
      const value = entry(piece, bits, i)
      if (first + i < FIRST_CLUSTER) assertReserved(geometry, first + i, value)
      else clusters.take(first + i, value & ENTRIES[type].mask)
    }
  }
  return clusters
}

/** The cluster behind another one in its chain; undefined for the last one. */
export async function nextCluster(
  reader: VolumeReader,
  { type, tableStart, clusterCount }: FatGeometry,
  cluster: number,
): Promise<number | undefined> {
  const { bits, mask } = ENTRIES[type]
  // Entries of 12 bits come in pairs.
  const first = bits === 12 ? cluster & ~1 : cluster
  const fields = await reader.fields(tableStart + (first * bits) / 8, bits === 12 ? 3 : bits / 8)
  const value = entry(fields, bits, cluster - first) & mask
  return value < clusterCount + FIRST_CLUSTER ? value : undefined
}

/** A piece of the first table, after a look at whether the others have the same. */
async function readPiece(
  reader: VolumeReader,
  { tableStart, tableBytes, tableCount }: FatGeometry,
  offset: number,
  length: number,
): Promise<Fields> {
  const piece = await reader.fields(tableStart + offset, length)
  for (let copy = 1; copy < tableCount; copy++) {
    const other = await reader.bytes(tableStart + copy * tableBytes + offset, length)
    ensure(
      Buffer.compare(piece.bytes, other) === 0,
      'inconsistent',
      `copies of the allocation table differ behind byte ${offset}`,
    )
  }
  return piece
}

function entry(piece: Fields, bits: 12 | 16 | 32, i: number): number {
  if (bits === 32) return piece.u32(i * 4)
  if (bits === 16) return piece.u16(i * 2)
  const at = Math.floor((i * 3) / 2)
  const [low, high] = [piece.u8(at), piece.u8(at + 1)]
  return i % 2 === 0 ? low | ((high & 0x0f) << 8) : (low >>> 4) | (high << 4)
}

/** The first entry repeats the kind of medium, the second has flags. */
function assertReserved({ type, media }: FatGeometry, index: number, value: number): void {
  const { mask, clean, noErrors } = ENTRIES[type]
  if (index === 0) {
    const expected = (mask & ~0xff) | media
    ensure((value & mask) === expected, 'inconsistent', 'the allocation table does not begin as it must')
    return
  }
  ensure((value & clean) === clean, 'not-clean', 'it is mounted or was not unmounted')
  ensure((value & noErrors) === noErrors, 'has-errors', 'it is marked as having errors')
}
