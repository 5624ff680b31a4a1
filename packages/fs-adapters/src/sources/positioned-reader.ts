import type { FileHandle } from 'node:fs/promises'
import type { SourceCallOptions } from '@platter/core'
import { sourceChanged, sourceClosed, sourceReadError } from './source-errors.ts'

/** Most bytes asked of one read call; Node refuses 2 GiB and more. */
const MAX_READ_BYTES = 1 << 30

/** Reading at offsets of an open file or block device, as {@link FileSource} and {@link BlockDeviceSource} share it. */
export class PositionedReader {
  readonly sizeBytes: number
  readonly #handle: FileHandle
  readonly #label: string
  #closed = false

  constructor(handle: FileHandle, label: string, sizeBytes: number) {
    this.#handle = handle
    this.#label = label
    this.sizeBytes = sizeBytes
  }

  /** @throws ERR_SOURCE_READ; ERR_SOURCE_CHANGED when it ends before the size it had when it was opened. */
  async read(offset: number, into: Uint8Array, options: SourceCallOptions): Promise<number> {
    options.signal?.throwIfAborted()
    this.assertOpen()
    const length = Math.min(into.length, this.sizeBytes - offset, MAX_READ_BYTES)
    if (length <= 0) return 0
    const { bytesRead } = await this.#handle.read(into, 0, length, offset).catch((error: unknown) => {
      throw sourceReadError(error, this.#label, offset)
    })
    if (bytesRead > 0) return bytesRead
    throw sourceChanged(this.#label, `it ends at byte ${offset} now`, { offset, expected: this.sizeBytes })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#handle.close()
  }

  assertOpen(): void {
    if (this.#closed) throw sourceClosed(this.#label)
  }
}
