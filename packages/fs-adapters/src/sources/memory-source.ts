import type { BlockSource, Extent, SourceCallOptions, SourceInfo } from '@platter/core'
import { PlatterError } from '@platter/core'

/** Options of {@link MemorySource}. */
export interface MemorySourceOptions {
  /** For messages. Default 'memory'. */
  readonly label?: string
  /** What {@link MemorySource.extents} tells. Default: all of it is data. */
  readonly extents?: readonly Extent[]
}

/** An image that lies in memory. The bytes are not copied. */
export class MemorySource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = false
  readonly #bytes: Uint8Array
  readonly #extents: readonly Extent[]

  /** @throws ERR_INVALID_ARGUMENT when the extents do not cover `bytes` in ascending order without gap or overlap. */
  constructor(bytes: Uint8Array, options: MemorySourceOptions = {}) {
    this.#bytes = bytes
    this.#extents = options.extents ?? wholeAsData(bytes.length)
    assertCover(this.#extents, bytes.length)
    this.info = {
      kind: 'memory',
      label: options.label ?? 'memory',
      sizeBytes: bytes.length,
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
    }
  }

  async *extents(options: SourceCallOptions = {}): AsyncIterable<Extent> {
    for (const extent of this.#extents) {
      options.signal?.throwIfAborted()
      yield extent
    }
  }

  async read(offset: number, into: Uint8Array, options: SourceCallOptions = {}): Promise<number> {
    options.signal?.throwIfAborted()
    const piece = this.#bytes.subarray(offset, offset + into.length)
    into.set(piece)
    return piece.length
  }

  async assertUnchanged(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** The extents of an image of which nothing is known but its size. */
export function wholeAsData(sizeBytes: number): Extent[] {
  return sizeBytes === 0 ? [] : [{ offset: 0, length: sizeBytes, kind: 'data' }]
}

function assertCover(extents: readonly Extent[], sizeBytes: number): void {
  let end = 0
  const isGapless = extents.every(({ offset, length }) => {
    const follows = offset === end && length > 0
    end = offset + length
    return follows
  })
  if (isGapless && end === sizeBytes) return
  throw new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `The extents must cover the ${sizeBytes} bytes of the image in ascending order, without gap or overlap.`,
    { expected: sizeBytes, actual: end },
  )
}
