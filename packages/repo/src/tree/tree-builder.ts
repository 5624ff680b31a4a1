import { assert, HASH_BYTES } from '@platter/core'
import { TREE_FANOUT } from '../format/limits.ts'
import { encodeNode, RUN, type RunKind } from '../format/tree-node.ts'
import { rootLevel } from './tree-shape.ts'

/** Takes an encoded node and gives its id. */
export type NodeSink = (encoded: Uint8Array) => Uint8Array

/**
 * Builds the upper levels of a volume tree from its leaves, which come in order. Memory is one open node a
 * level; a stretch of blank regions costs the same however long it is.
 */
export class TreeBuilder {
  readonly #sink: NodeSink
  /** Open nodes; index 0 is level 1, whose children are leaves. */
  readonly #levels: OpenNode[] = []
  #regions = 0
  #onlyLeaf: Uint8Array | undefined

  constructor(sink: NodeSink) {
    this.#sink = sink
  }

  /** Appends the leaf of the next region. */
  leaf(id: Uint8Array): void {
    this.#onlyLeaf = this.#regions === 0 ? id : undefined
    this.#regions++
    this.#add(0, RUN.stored, 1, id)
  }

  /** Appends regions that are all hole or all unused. */
  blank(kind: RunKind, regions: number): void {
    assert(kind !== RUN.stored, 'a blank stretch has no content')
    this.#onlyLeaf = undefined
    this.#regions += regions
    this.#add(0, kind, regions, undefined)
  }

  /**
   * Closes all nodes.
   *
   * @param blankLeaf encodes a leaf for an image of one region that is blank.
   * @returns id of the root: a leaf for an image of one region; undefined for an empty image.
   */
  finish(blankLeaf: (kind: RunKind) => Uint8Array): Uint8Array | undefined {
    if (this.#regions === 0) return undefined
    if (this.#regions === 1)
      return this.#onlyLeaf ?? this.#sink(blankLeaf(this.#levels[0]!.kinds[0] as RunKind))
    const top = rootLevel(this.#regions) - 1
    for (let i = 0; i < top; i++) this.#close(i)
    return this.#encode(top)
  }

  /** A builder that has come as far and goes on by itself. */
  copy(): TreeBuilder {
    const copy = new TreeBuilder(this.#sink)
    copy.#levels.push(...this.#levels.map((node) => node.copy()))
    copy.#regions = this.#regions
    copy.#onlyLeaf = this.#onlyLeaf
    return copy
  }

  #add(i: number, kind: RunKind, count: number, id: Uint8Array | undefined): void {
    this.#levels[i] ??= new OpenNode()
    let left = count
    while (left > 0) {
      const node = this.#levels[i]!
      const whole = node.span === 0 ? Math.floor(left / TREE_FANOUT) : 0
      if (kind !== RUN.stored && whole > 0 && left > TREE_FANOUT) {
        this.#add(i + 1, kind, whole, undefined)
        left -= whole * TREE_FANOUT
        continue
      }
      // A full node is closed only when more comes: the last one may be the root.
      if (node.span === TREE_FANOUT) {
        this.#close(i)
        continue
      }
      const part = Math.min(left, TREE_FANOUT - node.span)
      node.add(kind, part, id)
      left -= part
    }
  }

  /** Hands a level's open node to the level above. */
  #close(i: number): void {
    const node = this.#levels[i]!
    if (node.span === 0) return
    const blank = node.onlyBlank
    const id = blank === undefined ? this.#encode(i) : undefined
    node.reset()
    this.#add(i + 1, blank ?? RUN.stored, 1, id)
  }

  #encode(i: number): Uint8Array {
    const node = this.#levels[i]!
    return this.#sink(
      encodeNode({
        level: i + 1,
        kinds: Uint8Array.from(node.kinds),
        spans: Uint32Array.from(node.spans),
        ids: concatIds(node.ids),
      }),
    )
  }
}

class OpenNode {
  kinds: number[] = []
  spans: number[] = []
  ids: Uint8Array[] = []
  /** Children of this node's level that it covers so far. */
  span = 0

  add(kind: RunKind, count: number, id: Uint8Array | undefined): void {
    this.span += count
    if (id !== undefined) {
      this.kinds.push(kind)
      this.spans.push(1)
      this.ids.push(id)
    } else if (this.kinds.at(-1) === kind) {
      this.spans[this.spans.length - 1]! += count
    } else {
      this.kinds.push(kind)
      this.spans.push(count)
    }
  }

  copy(): OpenNode {
    const copy = new OpenNode()
    copy.kinds = [...this.kinds]
    copy.spans = [...this.spans]
    copy.ids = [...this.ids]
    copy.span = this.span
    return copy
  }

  get onlyBlank(): RunKind | undefined {
    return this.kinds.length === 1 && this.ids.length === 0 ? (this.kinds[0] as RunKind) : undefined
  }

  reset(): void {
    this.kinds = []
    this.spans = []
    this.ids = []
    this.span = 0
  }
}

function concatIds(ids: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(ids.length * HASH_BYTES)
  ids.forEach((id, i) => {
    bytes.set(id, i * HASH_BYTES)
  })
  return bytes
}
