import type { BlockRun } from '../common/free-blocks.ts'
import { ensure } from '../common/survey-error.ts'
import { COMPAT, INCOMPAT, RO_COMPAT } from './features.ts'
import { type ExtSuperblock, SUPERBLOCK_AT } from './superblock.ts'

/** Where the superblock, its copies and the descriptors of groups lie. */
export class ExtLayout {
  readonly superblock: ExtSuperblock
  readonly descriptorsPerBlock: number
  readonly descriptorBlockCount: number
  /** Meta groups, as many groups as one block of descriptors tells of, from here on have their own descriptors. */
  readonly #firstMetaGroup: number
  readonly #backups: 'all' | 'sparse' | readonly number[]

  constructor(superblock: ExtSuperblock) {
    this.superblock = superblock
    this.descriptorsPerBlock = superblock.blockBytes / superblock.descriptorBytes
    this.descriptorBlockCount = Math.ceil(superblock.groupCount / this.descriptorsPerBlock)
    const hasMetaGroups = (superblock.incompat & INCOMPAT.metaGroups) !== 0
    this.#firstMetaGroup = hasMetaGroups ? superblock.firstMetaGroup : this.descriptorBlockCount
    ensure(
      this.#firstMetaGroup <= this.descriptorBlockCount,
      'out-of-range',
      `the first meta group, ${this.#firstMetaGroup}, is out of range`,
    )
    if (superblock.compat & COMPAT.sparseSuper2) this.#backups = superblock.backupGroups
    else this.#backups = superblock.roCompat & RO_COMPAT.sparseSuper ? 'sparse' : 'all'
  }

  /** First block of a group. */
  groupStart(group: number): number {
    return this.superblock.firstDataBlock + group * this.superblock.groupBlocks
  }

  /** First block behind a group. */
  groupEnd(group: number): number {
    return Math.min(this.groupStart(group + 1), this.superblock.blockCount)
  }

  hasSuperblock(group: number): boolean {
    if (group === 0 || this.#backups === 'all') return true
    if (this.#backups !== 'sparse') return this.#backups.includes(group)
    return group === 1 || [3, 5, 7].some((base) => isPowerOf(group, base))
  }

  /** Block of the `index`th block of descriptors. */
  descriptorBlock(index: number): number {
    if (index < this.#firstMetaGroup) return this.#superblockBlock + 1 + index
    return this.#metaGroupDescriptorBlock(index * this.descriptorsPerBlock)
  }

  /**
   * What a group has in front of all else: the superblock, and descriptors with room for more of them, or the block
   * of descriptors of its meta group, of which the first, second and last group have one.
   */
  headOf(group: number): BlockRun[] {
    const start = this.groupStart(group)
    const runs: BlockRun[] = []
    // With blocks of 1 KiB and clusters, the superblock lies in block 1 of a group that begins with block 0.
    const first = group === 0 ? this.#superblockBlock : start
    if (this.hasSuperblock(group)) runs.push({ start, count: first - start + 1 })
    const metaGroup = Math.floor(group / this.descriptorsPerBlock)
    if (metaGroup < this.#firstMetaGroup) {
      const { reservedDescriptorBlocks } = this.superblock
      const count = this.#firstMetaGroup + reservedDescriptorBlocks
      if (this.hasSuperblock(group)) runs.push({ start: first + 1, count })
      return runs
    }
    const within = group % this.descriptorsPerBlock
    if (within <= 1 || within === this.descriptorsPerBlock - 1) {
      runs.push({ start: this.#metaGroupDescriptorBlock(group), count: 1 })
    }
    return runs
  }

  /** Block that has the superblock. */
  get #superblockBlock(): number {
    return Math.floor(SUPERBLOCK_AT / this.superblock.blockBytes)
  }

  /** Where a group of a meta group keeps the block with the descriptors of the meta group. */
  #metaGroupDescriptorBlock(group: number): number {
    if (group === 0) return this.#superblockBlock + 1
    return this.groupStart(group) + (this.hasSuperblock(group) ? 1 : 0)
  }
}

function isPowerOf(n: number, base: number): boolean {
  let power = base
  while (power < n) power *= base
  return power === n
}
