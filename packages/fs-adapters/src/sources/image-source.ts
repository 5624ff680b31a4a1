import type { BlockImage, BlockSource, Extent, SourceInfo } from '@platter/core'

/** Options of {@link imageSource}. */
export interface ImageSourceOptions {
  /** Stands in the snapshot as where it came from. */
  readonly label: string
  readonly logicalSectorBytes?: number
  readonly physicalSectorBytes?: number
}

/** Makes an image a source for a backup, such as an overlay that is to become a snapshot. Does not close the image. */
export function imageSource(image: BlockImage, options: ImageSourceOptions): BlockSource {
  const { label, logicalSectorBytes = 512, physicalSectorBytes = logicalSectorBytes } = options
  return new ImageSource(image, {
    kind: 'image',
    label,
    sizeBytes: image.sizeBytes,
    logicalSectorBytes,
    physicalSectorBytes,
  })
}

class ImageSource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = false
  readonly #image: BlockImage

  constructor(image: BlockImage, info: SourceInfo) {
    this.#image = image
    this.info = info
  }

  extents(options: { readonly signal?: AbortSignal } = {}): AsyncIterable<Extent> {
    return this.#image.extents(options)
  }

  async read(
    offset: number,
    into: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    return await this.#image.readInto(offset, into, options)
  }

  async assertUnchanged(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
