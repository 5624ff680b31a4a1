/** Where the content of a block of an overlay is. */
export const BLOCK = { base: 0, own: 1, zero: 2 } as const
export type BlockState = (typeof BLOCK)[keyof typeof BLOCK]

/** Bytes of one page of the map. */
export const PAGE_BYTES = 4096
const BLOCKS_PER_BYTE = 4
const BLOCKS_PER_PAGE: number = PAGE_BYTES * BLOCKS_PER_BYTE

/** Length of the map of so many blocks, in whole pages. */
export function mapBytes(blocks: number): number {
  return Math.ceil(blocks / BLOCKS_PER_PAGE) * PAGE_BYTES
}

/** Two bits for each block; only pages that say something take memory. */
export class BlockStates {
  readonly #pages = new Map<number, Uint8Array>()
  readonly #dirty = new Set<number>()

  /** Takes a page as it was stored. @returns whether it can be one. */
  load(page: number, bytes: Uint8Array): boolean {
    if (bytes.every((byte) => byte === 0)) return true
    // State 3 is none.
    if (bytes.some((byte) => (byte & (byte >>> 1) & 0x55) !== 0)) return false
    this.#pages.set(page, Uint8Array.from(bytes))
    return true
  }

  get(block: number): BlockState {
    const page = this.#pages.get(Math.floor(block / BLOCKS_PER_PAGE))
    if (page === undefined) return BLOCK.base
    const at = block % BLOCKS_PER_PAGE
    return ((page[at >>> 2]! >>> ((at & 3) * 2)) & 3) as BlockState
  }

  /** Sets blocks from `from` to before `to`. */
  set(from: number, to: number, state: BlockState): void {
    for (let block = from; block < to; block++) {
      if (this.get(block) === state) continue
      const number = Math.floor(block / BLOCKS_PER_PAGE)
      let page = this.#pages.get(number)
      if (page === undefined) {
        page = new Uint8Array(PAGE_BYTES)
        this.#pages.set(number, page)
      }
      const at = block % BLOCKS_PER_PAGE
      const shift = (at & 3) * 2
      page[at >>> 2] = (page[at >>> 2]! & ~(3 << shift)) | (state << shift)
      this.#dirty.add(number)
    }
  }

  /** End of the run of blocks that are in the state of block `from`, at most `to`. */
  runEnd(from: number, to: number): number {
    const state = this.get(from)
    let block = from + 1
    while (block < to) {
      // Blocks without a page are the base's, all of a page at once.
      if (state === BLOCK.base && !this.#pages.has(Math.floor(block / BLOCKS_PER_PAGE))) {
        block = (Math.floor(block / BLOCKS_PER_PAGE) + 1) * BLOCKS_PER_PAGE
        continue
      }
      if (this.get(block) !== state) break
      block++
    }
    return Math.min(block, to)
  }

  /** Pages changed since they were last taken, as copies, ascending. */
  takeDirty(): { readonly page: number; readonly bytes: Uint8Array }[] {
    const pages = [...this.#dirty].sort((a, b) => a - b)
    this.#dirty.clear()
    return pages.map((page) => ({ page, bytes: Uint8Array.from(this.#pages.get(page)!) }))
  }
}
