import {
  type BlockSource,
  type Extent,
  PlatterError,
  type SourceCallOptions,
  type SourceInfo,
} from '@platter/core'

/** What goes wrong with a {@link FaultSource}. */
export interface SourceFaults {
  /** Ranges, in bytes, that cannot be read. Default error: ERR_SOURCE_READ at the first such byte. */
  readonly unreadable?: readonly {
    readonly offset: number
    readonly length: number
    readonly error?: Error
  }[]
  /** Most bytes a read returns. Default: no limit. */
  readonly maxReadBytes?: number
  /** The source gets another size after so many reads. Smaller: it ends there. Larger: only the check tells. */
  readonly resize?: { readonly afterReads: number; readonly sizeBytes: number }
}

/**
 * Wraps a source and lets reads fail as programmed. It has no `direct`, so that everything goes through `read`.
 *
 * @example
 * const source = new FaultSource(new MemorySource(image), { unreadable: [{ offset: 4096, length: 512 }] })
 */
export class FaultSource implements BlockSource {
  readonly sequential: boolean
  readonly #inner: BlockSource
  readonly #faults: SourceFaults
  #reads = 0

  constructor(inner: BlockSource, faults: SourceFaults) {
    this.#inner = inner
    this.#faults = faults
    this.sequential = inner.sequential
  }

  get info(): SourceInfo {
    return this.#inner.info
  }

  /** How often `read` was called. */
  get reads(): number {
    return this.#reads
  }

  extents(options?: SourceCallOptions): AsyncIterable<Extent> {
    return this.#inner.extents(options)
  }

  async read(offset: number, into: Uint8Array, options?: SourceCallOptions): Promise<number> {
    this.#reads++
    let end = Math.min(offset + into.length, offset + (this.#faults.maxReadBytes ?? into.length))
    const resized = this.#resizedBytes()
    if (resized !== undefined && resized < (this.info.sizeBytes ?? Number.POSITIVE_INFINITY)) {
      if (offset >= resized) throw this.#changed(resized)
      end = Math.min(end, resized)
    }
    for (const range of this.#faults.unreadable ?? []) {
      if (offset + into.length <= range.offset || offset >= range.offset + range.length) continue
      // What lies before the range is still read, as a disk does.
      if (offset >= range.offset) throw range.error ?? unreadable(this.info.label, offset)
      end = Math.min(end, range.offset)
    }
    return await this.#inner.read(offset, into.subarray(0, end - offset), options)
  }

  async assertUnchanged(): Promise<void> {
    const resized = this.#resizedBytes()
    if (resized !== undefined && resized !== this.info.sizeBytes) throw this.#changed(resized)
    await this.#inner.assertUnchanged()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #resizedBytes(): number | undefined {
    const { resize } = this.#faults
    return resize && this.#reads > resize.afterReads ? resize.sizeBytes : undefined
  }

  #changed(sizeBytes: number): PlatterError {
    const { label } = this.info
    return new PlatterError('ERR_SOURCE_CHANGED', `Injected fault: '${label}' has ${sizeBytes} bytes now.`, {
      path: label,
      actual: sizeBytes,
    })
  }
}

function unreadable(label: string, offset: number): PlatterError {
  return new PlatterError('ERR_SOURCE_READ', `Injected fault: '${label}' cannot be read at byte ${offset}.`, {
    path: label,
    offset,
    systemCode: 'EIO',
  })
}
