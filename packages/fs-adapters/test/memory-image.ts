import type { Extent, ImageRange, WritableImage } from '@platter/core'

const STEP_BYTES = 64 * 1024

/** An image in memory. Steps of 64 KiB that hold nothing but zeros are holes. */
export class MemoryImage implements WritableImage {
  readonly bytes: Buffer
  flushes = 0
  /** When set, reads that touch this byte fail. */
  failAt: number | undefined

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  async readInto(offset: number, into: Uint8Array): Promise<number> {
    if (this.failAt !== undefined && offset <= this.failAt && this.failAt < offset + into.length)
      throw new Error(`Nothing can be read at ${this.failAt}.`)
    const part = this.bytes.subarray(offset, offset + into.length)
    into.set(part)
    return part.length
  }

  async *extents({
    offset = 0,
    length = this.bytes.length - offset,
  }: ImageRange = {}): AsyncGenerator<Extent> {
    const end = offset + length
    for (let at = offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / STEP_BYTES) + 1) * STEP_BYTES)
      const blank = this.bytes.subarray(at, next).every((byte) => byte === 0)
      yield { offset: at, length: next - at, kind: blank ? 'hole' : 'data' }
      at = next
    }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.bytes.set(data, offset)
  }

  async zero(offset: number, length: number): Promise<void> {
    this.bytes.fill(0, offset, offset + length)
  }

  async flush(): Promise<void> {
    this.flushes++
  }
}
