import { crc32c } from '../common/crc32c.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { RO_COMPAT } from './features.ts'
import type { GroupDescriptors } from './group-descriptors.ts'
import type { ExtLayout } from './layout.ts'

/** Reads bitmaps, those of several groups at once where they lie side by side. */
export class BitmapPieces {
  readonly #reader: VolumeReader
  readonly #layout: ExtLayout
  readonly #descriptors: GroupDescriptors
  #piece: Uint8Array = new Uint8Array(0)
  #pieceStart = 0

  constructor(reader: VolumeReader, layout: ExtLayout, descriptors: GroupDescriptors) {
    this.#reader = reader
    this.#layout = layout
    this.#descriptors = descriptors
  }

  async of(group: number): Promise<Uint8Array> {
    const { blockBytes, groupClusters, roCompat, checksumSeed } = this.#layout.superblock
    const block = this.#descriptors.blockBitmap[group]!
    const isThere =
      block >= this.#pieceStart && (block - this.#pieceStart + 1) * blockBytes <= this.#piece.length
    if (!isThere) {
      this.#piece = await this.#reader.bytes(block * blockBytes, this.#followers(group) * blockBytes)
      this.#pieceStart = block
    }
    const at = (block - this.#pieceStart) * blockBytes
    const bitmap = this.#piece.subarray(at, at + groupClusters / 8)
    if (roCompat & RO_COMPAT.metadataChecksums) this.#assertChecksum(group, crc32c(checksumSeed, bitmap))
    return bitmap
  }

  /** How many groups from this one on have bitmaps side by side, at most as many as are read at once. */
  #followers(group: number): number {
    const { blockBitmap } = this.#descriptors
    const most = PIECE_BYTES / this.#layout.superblock.blockBytes
    let count = 1
    while (count < most && blockBitmap[group + count] === blockBitmap[group]! + count) count++
    return count
  }

  #assertChecksum(group: number, actual: number): void {
    const mask = this.#layout.superblock.descriptorBytes >= 64 ? 0xffffffff : 0xffff
    const expected = this.#descriptors.bitmapChecksum[group]!
    const isRight = (actual & mask) >>> 0 === expected
    ensure(isRight, 'bad-checksum', `the checksum of the bitmap of group ${group} is wrong`)
  }
}
