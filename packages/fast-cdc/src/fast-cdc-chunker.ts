import { assertChunkerConfig, type Chunker, type ChunkSizes, DEFAULT_CHUNK_SIZES } from './chunker.ts'
import { CutList } from './cut-list.ts'
import { assertBytes } from './errors.ts'
import { createGearSearch, type GearSearch } from './gear-hash.ts'
import { createKernels, type ImplementationChoice, type Kernels } from './kernels.ts'

/**
 * Cuts at any byte, where a rolling hash of the 64 bytes before the cut meets a mask: FastCDC with a 64-bit gear hash
 * and normalised chunking. It suits data that is not aligned to blocks, such as streams, archives and dumps.
 *
 * Its gear table comes from a key, so that repositories cut differently. That is no secrecy: enough observed cut
 * points give such a table away (see IACR ePrint 2025/532 and 2025/558). `AlignedChunker` is made to withstand that.
 *
 * Bytes that lie in the slab of its kernels are searched in place; all others are copied first, piece by piece.
 *
 * The exact rules stand at `findGearCuts` in gear-hash.ts.
 */
export class FastCdcChunker implements Chunker {
  readonly minBytes: number
  readonly maxBytes: number
  readonly #kernels: Kernels
  readonly #search: GearSearch
  readonly #cuts = new CutList()
  #segmentBytes = 0

  /** @throws InvalidArgumentError when the key is not 32 bytes, or the sizes are not ordered or below 64 bytes */
  constructor(options: FastCdcChunkerOptions) {
    const { sizes = DEFAULT_CHUNK_SIZES, gearKey, kernels, implementation = 'auto' } = options
    assertChunkerConfig({ ...sizes, kind: 'fastcdc' })
    this.minBytes = sizes.minBytes
    this.maxBytes = sizes.maxBytes
    this.#search = createGearSearch(gearKey, sizes)
    this.#kernels = kernels ?? createKernels({ slabBytes: 0, implementation })
  }

  get cuts(): Float64Array {
    return this.#cuts.positions
  }

  push(bytes: Uint8Array): number {
    assertBytes('bytes', bytes)
    this.#cuts.clear()
    this.#kernels.findGearCuts(this.#search, bytes, this.#segmentBytes, this.#cuts)
    this.#segmentBytes += bytes.length
    return this.#cuts.count
  }

  finish(): number {
    this.#cuts.clear()
    if (this.#search.chunkBytes > 0) this.#cuts.append(this.#segmentBytes)
    this.#segmentBytes = 0
    this.#search.chunkBytes = 0
    return this.#cuts.count
  }

  reset(): void {
    this.finish()
    this.#cuts.clear()
  }
}

export interface FastCdcChunkerOptions {
  /** Any sizes from 64 bytes on. */
  readonly sizes?: ChunkSizes
  /** 32 bytes. */
  readonly gearKey: Uint8Array
  /** Kernels to share; without them the chunker makes its own, as `implementation` says. */
  readonly kernels?: Kernels
  readonly implementation?: ImplementationChoice
}
