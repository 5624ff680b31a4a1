import { assertChunkerConfig, type Chunker } from './chunker.ts'
import { CutList } from './cut-list.ts'
import { assertBytes } from './errors.ts'

/** Cuts after every `chunkBytes` bytes. */
export class FixedChunker implements Chunker {
  readonly minBytes: number
  readonly maxBytes: number
  readonly #cuts = new CutList()
  #segmentBytes = 0
  #lastCut = 0

  /** @throws InvalidArgumentError when `chunkBytes` is not an integer from 1 to 1 GiB */
  constructor(options: FixedChunkerOptions) {
    const { chunkBytes } = options
    assertChunkerConfig({
      kind: 'fixed',
      minBytes: chunkBytes,
      averageBytes: chunkBytes,
      maxBytes: chunkBytes,
    })
    this.minBytes = chunkBytes
    this.maxBytes = chunkBytes
  }

  get cuts(): Float64Array {
    return this.#cuts.positions
  }

  push(bytes: Uint8Array): number {
    assertBytes('bytes', bytes)
    this.#cuts.clear()
    this.#segmentBytes += bytes.length
    while (this.#segmentBytes - this.#lastCut >= this.maxBytes) {
      this.#lastCut += this.maxBytes
      this.#cuts.append(this.#lastCut)
    }
    return this.#cuts.count
  }

  finish(): number {
    this.#cuts.clear()
    if (this.#segmentBytes > this.#lastCut) this.#cuts.append(this.#segmentBytes)
    this.#segmentBytes = 0
    this.#lastCut = 0
    return this.#cuts.count
  }

  reset(): void {
    this.finish()
    this.#cuts.clear()
  }
}

export interface FixedChunkerOptions {
  readonly chunkBytes: number
}
