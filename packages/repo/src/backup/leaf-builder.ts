import { HASH_BYTES } from '@platter/core'
import { encodeNode, RUN, type RunKind } from '../format/tree-node.ts'

/** Collects the runs of one region and encodes them as a leaf. Reused from region to region. */
export class LeafBuilder {
  #kinds = new Uint8Array(256)
  #spans = new Uint32Array(256)
  #ids = new Uint8Array(256 * HASH_BYTES)
  #count = 0
  #stored = 0

  reset(): void {
    this.#count = 0
    this.#stored = 0
  }

  /** Appends a chunk. */
  chunk(id: Uint8Array, length: number): void {
    this.#reserve()
    this.#kinds[this.#count] = RUN.stored
    this.#spans[this.#count++] = length
    this.#ids.set(id, this.#stored++ * HASH_BYTES)
  }

  /** Appends a hole or an unused stretch; it grows the last run when that is of the same kind. */
  blank(kind: RunKind, length: number): void {
    const last = this.#count - 1
    if (last >= 0 && this.#kinds[last] === kind) {
      this.#spans[last]! += length
      return
    }
    this.#reserve()
    this.#kinds[this.#count] = kind
    this.#spans[this.#count++] = length
  }

  /** The only run's kind, when the whole region is one hole or one unused stretch. */
  get onlyBlank(): RunKind | undefined {
    const kind = this.#kinds[0]!
    return this.#count === 1 && kind !== RUN.stored ? (kind as RunKind) : undefined
  }

  /** @param digest of the region; undefined when every byte of it reads as zero. */
  encode(digest: Uint8Array | undefined): Uint8Array {
    return encodeNode({
      level: 0,
      ...(digest === undefined ? {} : { digest }),
      kinds: this.#kinds.subarray(0, this.#count),
      spans: this.#spans.subarray(0, this.#count),
      ids: this.#ids.subarray(0, this.#stored * HASH_BYTES),
    })
  }

  #reserve(): void {
    if (this.#count < this.#kinds.length) return
    const capacity = this.#count * 2
    this.#kinds = grown(this.#kinds, new Uint8Array(capacity))
    this.#spans = grown(this.#spans, new Uint32Array(capacity))
    this.#ids = grown(this.#ids, new Uint8Array(capacity * HASH_BYTES))
  }
}

function grown<A extends Uint8Array | Uint32Array>(from: A, to: A): A {
  to.set(from)
  return to
}
