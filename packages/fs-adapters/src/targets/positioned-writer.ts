import type { FileHandle } from 'node:fs/promises'
import type { TargetCallOptions } from '@platter/core'
import { systemCodeOf } from '@platter/core'
import { assertImageRange, targetClosed, targetError } from './target-errors.ts'
import { ZEROS } from './zeros.ts'

/** Most bytes given to one call; Node refuses 2 GiB and more. */
const MAX_CALL_BYTES = 1 << 30
/** Longest range made zero in one system call, so that an abort is heeded in good time. */
const MAX_ZERO_BYTES = 256 * 1024 * 1024

/** A call that makes a range of an open file or device zero. */
export type ZeroRange = (fd: number, offset: number, length: number) => Promise<void>

/** How ranges are made zero without writing them. */
export interface ZeroMeans {
  /** The calls that may do it, best first. One that the system refuses is not tried again. */
  readonly zeroRanges: readonly (ZeroRange | undefined)[]
  /** What offset and length of such a range must be multiples of. */
  readonly alignmentBytes: number
}

/** Error codes of a kernel, file system or device that cannot make a range zero otherwise than by writing. */
const CANNOT_ZERO: ReadonlySet<string> = new Set([
  'EOPNOTSUPP',
  'ENOTSUP',
  'ENOSYS',
  'EINVAL',
  'ENOTTY',
  'ENODEV',
])

/** Writing at offsets of an open file or block device, as {@link FileTarget} and {@link BlockDeviceTarget} share it. */
export class PositionedWriter {
  readonly #handle: FileHandle
  readonly #label: string
  readonly #alignmentBytes: number
  readonly #zeroRanges: ZeroRange[]
  #imageBytes: number | undefined
  #closed = false
  #flushFailure: unknown

  constructor(handle: FileHandle, label: string, means: ZeroMeans) {
    this.#handle = handle
    this.#label = label
    this.#zeroRanges = means.zeroRanges.filter((call) => call !== undefined)
    this.#alignmentBytes = means.alignmentBytes
  }

  /** Size of the image, once `prepare` was told. */
  get imageBytes(): number | undefined {
    return this.#imageBytes
  }

  set imageBytes(bytes: number) {
    this.#imageBytes = bytes
  }

  async write(offset: number, data: Uint8Array, options: TargetCallOptions): Promise<void> {
    this.#assertUsable(offset, data.length, options)
    await this.#writeFully(offset, data, options)
  }

  async zero(offset: number, length: number, options: TargetCallOptions): Promise<void> {
    this.#assertUsable(offset, length, options)
    const end = offset + length
    const alignedStart = Math.min(Math.ceil(offset / this.#alignmentBytes) * this.#alignmentBytes, end)
    const alignedEnd = Math.max(Math.floor(end / this.#alignmentBytes) * this.#alignmentBytes, alignedStart)
    await this.#writeZeros(offset, alignedStart - offset, options)
    for (let at = alignedStart; at < alignedEnd; at += MAX_ZERO_BYTES) {
      options.signal?.throwIfAborted()
      const piece = Math.min(alignedEnd - at, MAX_ZERO_BYTES)
      if (!(await this.#tryZeroRange(at, piece))) await this.#writeZeros(at, piece, options)
    }
    await this.#writeZeros(alignedEnd, end - alignedEnd, options)
  }

  async read(offset: number, into: Uint8Array, options: TargetCallOptions): Promise<number> {
    options.signal?.throwIfAborted()
    this.assertOpen()
    try {
      const length = Math.min(into.length, MAX_CALL_BYTES)
      return (await this.#handle.read(into, 0, length, offset)).bytesRead
    } catch (error) {
      throw targetError(error, 'read back', this.#label, offset)
    }
  }

  /** After a failure every later call fails too: the kernel forgets what it could not write, and reports it once. */
  async flush(): Promise<void> {
    this.assertOpen()
    if (this.#flushFailure !== undefined) throw this.#flushFailure
    try {
      await this.#handle.sync()
    } catch (error) {
      this.#flushFailure = targetError(error, 'make durable what was written to', this.#label)
      throw this.#flushFailure
    }
  }

  /** False when it was closed before. */
  async close(): Promise<boolean> {
    if (this.#closed) return false
    this.#closed = true
    try {
      await this.#handle.close()
    } catch (error) {
      throw targetError(error, 'close', this.#label)
    }
    return true
  }

  assertOpen(): void {
    if (this.#closed) throw targetClosed(this.#label)
  }

  #assertUsable(offset: number, length: number, options: TargetCallOptions): void {
    options.signal?.throwIfAborted()
    this.assertOpen()
    assertImageRange(this.#label, offset, length, this.#imageBytes)
  }

  async #writeFully(offset: number, data: Uint8Array, options: TargetCallOptions): Promise<void> {
    for (let done = 0; done < data.length; ) {
      options.signal?.throwIfAborted()
      done += await this.#writeSome(offset + done, data.subarray(done, done + MAX_CALL_BYTES))
    }
  }

  async #writeSome(offset: number, data: Uint8Array): Promise<number> {
    try {
      const { bytesWritten } = await this.#handle.write(data, 0, data.length, offset)
      if (bytesWritten === 0) throw new Error('nothing was written, and no reason given')
      return bytesWritten
    } catch (error) {
      throw targetError(error, 'write to', this.#label, offset)
    }
  }

  async #tryZeroRange(offset: number, length: number): Promise<boolean> {
    for (let call = this.#zeroRanges[0]; call !== undefined; call = this.#zeroRanges[0]) {
      try {
        await call(this.#handle.fd, offset, length)
        return true
      } catch (error) {
        if (!CANNOT_ZERO.has(systemCodeOf(error) ?? ''))
          throw targetError(error, 'write zeros to', this.#label, offset)
        if (this.#zeroRanges[0] === call) this.#zeroRanges.shift()
      }
    }
    return false
  }

  async #writeZeros(offset: number, length: number, options: TargetCallOptions): Promise<void> {
    for (let at = 0; at < length; at += ZEROS.length) {
      await this.#writeFully(offset + at, ZEROS.subarray(0, Math.min(ZEROS.length, length - at)), options)
    }
  }
}
