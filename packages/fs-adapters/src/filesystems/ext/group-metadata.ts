import { ensure } from '../common/survey-error.ts'
import { INCOMPAT } from './features.ts'
import type { GroupDescriptors } from './group-descriptors.ts'
import type { ExtLayout } from './layout.ts'

/** Bitmaps and tables of inodes of all groups, and the block of multiple mount protection, by place. */
export class GroupMetadata {
  /** Ascending. */
  readonly #starts: Float64Array
  readonly #tableBlocks: number
  readonly #isTable: Uint8Array
  #next = 0

  /** @throws SurveyError when two of them lie on each other, or one where it may not be. */
  constructor(descriptors: GroupDescriptors, layout: ExtLayout) {
    const { groupCount, groupInodes, inodeBytes, blockBytes, mmpBlock } = layout.superblock
    this.#tableBlocks = Math.ceil((groupInodes * inodeBytes) / blockBytes)
    if ((layout.superblock.incompat & INCOMPAT.flexibleGroups) === 0) {
      assertWithinGroups(descriptors, layout, this.#tableBlocks)
    }
    // The lowest bit says what it is: tables are of many blocks, the others of one.
    const marked = new Float64Array(groupCount * 3 + (mmpBlock > 0 ? 1 : 0))
    for (let group = 0; group < groupCount; group++) {
      marked[group * 3] = descriptors.blockBitmap[group]! * 2
      marked[group * 3 + 1] = descriptors.inodeBitmap[group]! * 2
      marked[group * 3 + 2] = descriptors.inodeTable[group]! * 2 + 1
    }
    if (mmpBlock > 0) marked[groupCount * 3] = mmpBlock * 2
    marked.sort()
    this.#starts = marked.map((value) => Math.floor(value / 2))
    this.#isTable = Uint8Array.from(marked, (value) => value % 2)
    this.#assertApart(layout.superblock.firstDataBlock, layout.superblock.blockCount)
  }

  #assertApart(firstBlock: number, blockCount: number): void {
    let end = firstBlock
    for (let i = 0; i < this.#starts.length; i++) {
      const start = this.#starts[i]!
      ensure(start >= firstBlock, 'out-of-range', `a structure of a group lies on block ${start}`)
      ensure(start >= end, 'inconsistent', `two structures of groups lie on block ${start}`)
      end = start + this.#countAt(i)
    }
    ensure(
      end <= blockCount,
      'out-of-range',
      `a structure of a group ends at block ${end}, behind the last one`,
    )
  }

  /** Calls `onRun` for what lies between two blocks; calls must ascend. */
  within(start: number, end: number, onRun: (start: number, count: number) => void): void {
    while (this.#next < this.#starts.length) {
      const from = this.#starts[this.#next]!
      const to = from + this.#countAt(this.#next)
      if (from >= end) return
      onRun(Math.max(from, start), Math.min(to, end) - Math.max(from, start))
      if (to > end) return // a table may go on in the next group
      this.#next++
    }
  }

  #countAt(i: number): number {
    return this.#isTable[i] === 1 ? this.#tableBlocks : 1
  }
}

/** Without `flex_bg`, every group has its own structures. */
function assertWithinGroups(descriptors: GroupDescriptors, layout: ExtLayout, tableBlocks: number): void {
  for (let group = 0; group < layout.superblock.groupCount; group++) {
    const start = layout.groupStart(group)
    const end = layout.groupEnd(group)
    const isWithin = (block: number, count: number) => block >= start && block + count <= end
    const holds =
      isWithin(descriptors.blockBitmap[group]!, 1) &&
      isWithin(descriptors.inodeBitmap[group]!, 1) &&
      isWithin(descriptors.inodeTable[group]!, tableBlocks)
    ensure(holds, 'out-of-range', `a structure of group ${group} lies outside of it`)
  }
}
