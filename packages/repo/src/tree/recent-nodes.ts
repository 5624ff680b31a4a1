import { HASH_BYTES } from '@platter/core'
import type { ChunkIndex } from '../index/chunk-index.ts'

const ID_WORDS = HASH_BYTES / 4
/** Ids kept of nodes visited last: 18 MiB. */
const MAX_RECENT_IDS = 512 * 1024

/** Index entries of the ids in a node. */
export class NodeEntries {
  /** First entry for each id, -1 where there is none. */
  readonly entries: Int32Array
  /** Number of an id that has no entry, or -1. */
  readonly missing: number
  readonly #words: Int32Array<ArrayBuffer>

  /**
   * Looks the ids up. This is where the time of a walk goes, so ids that stood in the same place of `before` are only
   * compared.
   *
   * @param ids in memory of their own.
   */
  constructor(ids: Uint8Array<ArrayBuffer>, index: ChunkIndex, before: NodeEntries | undefined) {
    const words = new Int32Array(ids.buffer)
    const entries = new Int32Array(words.length / ID_WORDS)
    const known = before === undefined ? 0 : Math.min(entries.length, before.entries.length)
    let missing = -1
    for (let i = 0; i < entries.length; i++) {
      const entry =
        i < known && sameId(words, before!.#words, i) ? before!.entries[i]! : index.findNumbered(words, i)
      if (entry < 0) missing = i
      entries[i] = entry
    }
    this.entries = entries
    this.missing = missing
    this.#words = words
  }

  /** An id, as a view. */
  id(i: number): Uint8Array {
    return new Uint8Array(this.#words.buffer, i * HASH_BYTES, HASH_BYTES)
  }
}

/** Nodes visited last, by place in an image: the next snapshot's there has mostly the same ids. */
export class RecentNodes {
  readonly #nodes = new Map<string, NodeEntries>()
  #ids = 0

  get(place: string): NodeEntries | undefined {
    return this.#nodes.get(place)
  }

  set(place: string, node: NodeEntries): void {
    this.#delete(place)
    this.#nodes.set(place, node)
    this.#ids += node.entries.length
    // A map's keys come in the order in which they were set.
    for (const oldest of this.#nodes.keys()) {
      if (this.#ids <= MAX_RECENT_IDS) return
      this.#delete(oldest)
    }
  }

  #delete(place: string): void {
    this.#ids -= this.#nodes.get(place)?.entries.length ?? 0
    this.#nodes.delete(place)
  }
}

function sameId(a: Int32Array, b: Int32Array, i: number): boolean {
  for (let word = i * ID_WORDS; word < (i + 1) * ID_WORDS; word++) {
    if (a[word] !== b[word]) return false
  }
  return true
}
