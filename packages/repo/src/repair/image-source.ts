import { type BlockSource, type Extent, PlatterError, type SourceCallOptions } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import type { Image } from '../image/image.ts'

/** The image of a snapshot as a source, so that what one repository has lost can be read from another. */
export class ImageSource implements BlockSource {
  readonly info: BlockSource['info']
  readonly sequential = false
  readonly #image: Image

  constructor(image: Image) {
    this.#image = image
    const sector = { logicalSectorBytes: 4096, physicalSectorBytes: 4096 }
    this.info = { kind: 'snapshot', label: image.snapshot.id, sizeBytes: image.sizeBytes, ...sector }
  }

  async *extents(options: SourceCallOptions = {}): AsyncGenerator<Extent> {
    yield* this.#image.extents(options)
  }

  /** @throws ERR_SOURCE_READ where the other repository is damaged, too. */
  async read(offset: number, into: Uint8Array, options: SourceCallOptions = {}): Promise<number> {
    try {
      return await this.#image.readInto(offset, into, options)
    } catch (cause) {
      if (!(cause instanceof PlatterError && DAMAGE.has(cause.code))) throw cause
      throw new PlatterError(
        'ERR_SOURCE_READ',
        `The image of snapshot ${this.info.label} cannot be read at byte ${offset}: ${cause.message}`,
        { offset, length: into.length, cause },
      )
    }
  }

  async assertUnchanged(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
