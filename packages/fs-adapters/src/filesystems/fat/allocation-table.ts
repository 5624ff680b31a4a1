import type { Fields } from '../common/fields.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { type FatGeometry, FIRST_CLUSTER } from './boot-sector.ts'

/** By type: bits of an entry that count, and those of entry 1 that say "unmounted" and "no errors". */
const ENTRIES = {
  fat12: { bits: 12, mask: 0xfff, clean: 0, noErrors: 0 },
  fat16: { bits: 16, mask: 0xffff, clean: 0x8000, noErrors: 0x4000 },
  fat32: { bits: 32, mask: 0x0fffffff, clean: 0x08000000, noErrors: 0x04000000 },
} as const

/**
 * Reads the allocation tables and says which clusters are allocated: a bitmap in which the first cluster is bit 0.
 * Source: "FAT Data Structure" of the specification.
 *
 * @throws SurveyError when copies differ, a chain is not one, or the volume was not unmounted.
 */
export async function readAllocation(reader: VolumeReader, geometry: FatGeometry): Promise<Uint8Array> {
  const { clusterCount, rootCluster, type } = geometry
  const clusters = new ClusterBitmaps(clusterCount, ENTRIES[type].mask)
  if (rootCluster !== undefined) clusters.refer(rootCluster)
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
  clusters.assertChains()
  return clusters.allocated
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

/** Which clusters are allocated, and which are the next one of another. */
class ClusterBitmaps {
  readonly allocated: Uint8Array
  readonly #referred: Uint8Array
  readonly #clusterCount: number
  /** Marks of bad clusters, and from there on of ends of chains. */
  readonly #firstMark: number

  constructor(clusterCount: number, mask: number) {
    this.#clusterCount = clusterCount
    this.#firstMark = mask - 8
    this.allocated = new Uint8Array(Math.ceil(clusterCount / 8))
    this.#referred = new Uint8Array(this.allocated.length)
  }

  take(cluster: number, value: number): void {
    if (value === 0) return
    const bit = cluster - FIRST_CLUSTER
    this.allocated[bit >>> 3]! |= 1 << (bit & 7)
    if (value < this.#firstMark) this.refer(value)
  }

  refer(cluster: number): void {
    const bit = cluster - FIRST_CLUSTER
    if (bit < 0 || bit >= this.#clusterCount) {
      throw new SurveyError('out-of-range', `a chain leads to cluster ${cluster} of ${this.#clusterCount}`)
    }
    if ((this.#referred[bit >>> 3]! >>> (bit & 7)) & 1) {
      throw new SurveyError('inconsistent', `two chains lead to cluster ${cluster}`)
    }
    this.#referred[bit >>> 3]! |= 1 << (bit & 7)
  }

  assertChains(): void {
    const lost = this.#referred.findIndex((bits, i) => (bits & ~this.allocated[i]!) !== 0)
    ensure(lost < 0, 'inconsistent', `a chain leads to a free cluster behind cluster ${lost * 8}`)
  }
}
