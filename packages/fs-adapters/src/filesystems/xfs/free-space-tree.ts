import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { assertXfsChecksum, assertXfsUuid } from './checksum.ts'
import type { XfsSuperblock } from './superblock.ts'

/** Says in a pointer that there is nothing. */
const NO_BLOCK = 0xffffffff
/** What a tree of the smallest blocks in the largest group can have, and more than the kernel allows. */
export const MAX_LEVELS = 12
const HEADER_BYTES = 16
const HEADER_BYTES_WITH_CHECKSUM = 56
const RECORD_BYTES = 8
const POINTER_BYTES = 4

/** One of the two trees of a group in which each run of free blocks is a record. */
export interface FreeSpaceTree {
  /** Marks of nodes, without and with checksums. */
  readonly magic: string
  readonly magicWithChecksum: string
  readonly root: number
  readonly levels: number
  /** Whether two records may follow each other. */
  readonly isBefore: (a: FreeRun, b: FreeRun) => boolean
  /** Whether the first record of a node is what the node above says. */
  readonly isKeyOf: (key: FreeRun, first: FreeRun) => boolean
}

/** Free blocks, in numbers within the group. */
export interface FreeRun {
  readonly start: number
  readonly count: number
}

/** Where a tree is. */
export interface GroupOfTree {
  readonly superblock: XfsSuperblock
  readonly group: number
  /** Blocks in the group. */
  readonly blockCount: number
  /** Most nodes it can have. */
  readonly maxNodes: number
}

/**
 * Goes through a tree of free space from left to right and checks its nodes. Source: "XFS Algorithms & Data Structures",
 * "AG Free Space B+trees" and "Short Format B+Trees".
 *
 * @param onRun gets the runs in the order of the tree
 * @returns the blocks that the tree has
 * @throws SurveyError
 */
export async function walkFreeSpaceTree(
  reader: VolumeReader,
  place: GroupOfTree,
  tree: FreeSpaceTree,
  onRun: (run: FreeRun) => void,
): Promise<number[]> {
  const walk = new TreeWalk(reader, place, tree, onRun)
  const { root, levels } = tree
  ensure(levels >= 1 && levels <= MAX_LEVELS, 'inconsistent', `a tree of ${levels} levels is not possible`)
  await walk.visit(root, levels - 1, undefined)
  walk.finish()
  return walk.blocks
}

class TreeWalk {
  readonly blocks: number[] = []
  readonly #reader: VolumeReader
  readonly #place: GroupOfTree
  readonly #tree: FreeSpaceTree
  readonly #onRun: (run: FreeRun) => void
  readonly #name: string
  /** By level: the block that was visited last, and the one that it says is next to it. */
  readonly #previous = new Map<number, { readonly block: number; readonly right: number }>()
  #last: FreeRun | undefined

  constructor(reader: VolumeReader, place: GroupOfTree, tree: FreeSpaceTree, onRun: (run: FreeRun) => void) {
    this.#reader = reader
    this.#place = place
    this.#tree = tree
    this.#onRun = onRun
    this.#name = `a tree of free space of group ${place.group}`
  }

  async visit(block: number, level: number, key: FreeRun | undefined): Promise<void> {
    const node = await this.#read(block, level)
    const count = node.u16(6)
    const headerBytes = this.#headerBytes
    const room = node.length - headerBytes
    const capacity = Math.floor(room / (level === 0 ? RECORD_BYTES : RECORD_BYTES + POINTER_BYTES))
    // Only a tree that is one leaf may be empty.
    const least = level === 0 && key === undefined ? 0 : 1
    this.#check(count >= least && count <= capacity, `has a node of ${count} records`)
    for (let i = 0; i < count; i++) {
      const run = runAt(node, headerBytes + i * RECORD_BYTES)
      if (i === 0 && key !== undefined)
        this.#check(this.#tree.isKeyOf(key, run), 'has a node with another key')
      if (level === 0) this.#take(run)
      else {
        const pointer = node.u32(headerBytes + capacity * RECORD_BYTES + i * POINTER_BYTES)
        await this.visit(pointer, level - 1, run)
      }
    }
  }

  finish(): void {
    const isWhole = [...this.#previous.values()].every(({ right }) => right === NO_BLOCK)
    this.#check(isWhole, 'has nodes beside it that nothing leads to')
  }

  async #read(block: number, level: number): Promise<Fields> {
    const { superblock, group, blockCount, maxNodes } = this.#place
    const { blockBytes, groupBlocks, hasChecksums } = superblock
    ensure(block < blockCount, 'out-of-range', `${this.#name} has block ${block}, beyond the group`)
    this.#check(this.blocks.length < maxNodes, 'has more nodes than the group counts')
    this.blocks.push(block)
    const node = await this.#reader.fields((group * groupBlocks + block) * blockBytes, blockBytes, 'big')
    const magic = hasChecksums ? this.#tree.magicWithChecksum : this.#tree.magic
    this.#check(node.says(0, magic) && node.u16(4) === level, 'has something else in the place of a node')
    if (hasChecksums) {
      assertXfsChecksum(node, 52, `a node of ${this.#name}`)
      assertXfsUuid(node, 32, superblock.metadataUuid, `a node of ${this.#name}`)
      const place = ((group * groupBlocks + block) * blockBytes) / 512
      this.#check(node.u64(16) === place && node.u32(48) === group, 'has a node of another place')
    }
    this.#assertNeighbour(block, level, node)
    return node
  }

  #assertNeighbour(block: number, level: number, node: Fields): void {
    const { block: left, right } = this.#previous.get(level) ?? { block: NO_BLOCK, right: block }
    this.#check(node.u32(8) === left && right === block, 'has nodes that do not know their neighbours')
    this.#previous.set(level, { block, right: node.u32(12) })
  }

  #take(run: FreeRun): void {
    const isThere = run.count > 0 && run.start + run.count <= this.#place.blockCount
    ensure(isThere, 'out-of-range', `${this.#name} has ${run.count} blocks at block ${run.start}`)
    const isInOrder = this.#last === undefined || this.#tree.isBefore(this.#last, run)
    this.#check(isInOrder, 'is not in order')
    this.#last = run
    this.#onRun(run)
  }

  get #headerBytes(): number {
    return this.#place.superblock.hasChecksums ? HEADER_BYTES_WITH_CHECKSUM : HEADER_BYTES
  }

  #check(holds: boolean, what: string): void {
    ensure(holds, 'inconsistent', `${this.#name} ${what}`)
  }
}

function runAt(node: Fields, at: number): FreeRun {
  return { start: node.u32(at), count: node.u32(at + 4) }
}
