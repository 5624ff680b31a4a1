import { type FileHandle, open } from 'node:fs/promises'
import {
  type BlockImage,
  type Extent,
  type ImageRange,
  PlatterError,
  type WritableImage,
} from '@platter/core'
import { targetError, targetOpenError } from '../targets/target-errors.ts'
import { BLOCK, BlockStates, mapBytes, PAGE_BYTES } from './block-states.ts'
import { claimFile, type FileClaim } from './file-claim.ts'
import { decodeHeader, encodeHeader, HEADER_BYTES, type OverlayHeader } from './overlay-header.ts'

/** Granularity of copies from the base. */
const BLOCK_BYTES = 4096
/** Data begins at a multiple of this in the file. */
const ALIGN_BYTES = 1024 * 1024
/** Bytes of the map read at once. */
const MAP_READ_BYTES: number = 256 * PAGE_BYTES

/** Options of {@link Overlay.open}. */
export interface OverlayOptions {
  /** What the base is, such as the id of a snapshot; an overlay over another base is refused. */
  readonly base: string
}

/**
 * A writable image over one that stays as it is: what was written is kept in a sparse file, and everything else
 * comes from the base. The file can be opened again; what was flushed is in it, whatever happened after.
 */
export class Overlay implements WritableImage, AsyncDisposable {
  readonly path: string
  readonly sizeBytes: number
  readonly #base: BlockImage
  readonly #file: FileHandle
  readonly #claim: FileClaim
  readonly #blockBytes: number
  readonly #dataOffset: number
  readonly #states = new BlockStates()
  /** Changes come one after the other: two may concern the same block. */
  #queue: Promise<unknown> = Promise.resolve()
  #failed: unknown
  #closed = false

  private constructor(
    path: string,
    base: BlockImage,
    file: FileHandle,
    claim: FileClaim,
    header: OverlayHeader,
  ) {
    this.path = path
    this.sizeBytes = header.sizeBytes
    this.#base = base
    this.#file = file
    this.#claim = claim
    this.#blockBytes = header.blockBytes
    const mapEnd = HEADER_BYTES + mapBytes(Math.ceil(header.sizeBytes / header.blockBytes))
    this.#dataOffset = Math.ceil(mapEnd / ALIGN_BYTES) * ALIGN_BYTES
  }

  /**
   * Opens an overlay, or makes one where there is none.
   *
   * @throws ERR_OVERLAY_INVALID when the file is something else, or belongs to another base.
   * @throws ERR_OVERLAY_IN_USE while another process has it open.
   * @throws ERR_TARGET_NOT_FOUND, ERR_TARGET_ACCESS, ERR_TARGET_FULL, ERR_TARGET_WRITE
   */
  static async open(path: string, base: BlockImage, options: OverlayOptions): Promise<Overlay> {
    const file = await openOrCreate(path)
    let claim: FileClaim | undefined
    try {
      claim = await claimFile(file, path)
      const header = await readOrWriteHeader(file, path, base, options.base)
      const overlay = new Overlay(path, base, file, claim, header)
      await overlay.#loadStates()
      return overlay
    } catch (error) {
      await claim?.release()
      await file.close()
      throw targetError(error, 'open', path)
    }
  }

  /** What an overlay file lies over. @throws ERR_OVERLAY_INVALID, ERR_TARGET_NOT_FOUND, ERR_TARGET_ACCESS */
  static async baseOf(path: string): Promise<string> {
    const file = await open(path, 'r').catch((error: unknown) => {
      throw targetOpenError(error, path)
    })
    try {
      return decodeHeader(await readUpTo(file, 0, HEADER_BYTES), path).base
    } finally {
      await file.close()
    }
  }

  async readInto(
    offset: number,
    into: Uint8Array,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<number> {
    this.#assertUsable()
    const end = Math.min(this.sizeBytes, offset + into.length)
    const reads: Promise<unknown>[] = []
    for (const run of this.#runs(offset, end)) {
      const part = into.subarray(run.from - offset, run.to - offset)
      if (run.state === BLOCK.zero) part.fill(0)
      else if (run.state === BLOCK.own) reads.push(this.#readOwn(run.from, part))
      else reads.push(this.#base.readInto(run.from, part, options))
    }
    await Promise.all(reads)
    return Math.max(0, end - offset)
  }

  async *extents({ offset = 0, length, signal }: ImageRange = {}): AsyncGenerator<Extent> {
    const end = Math.min(this.sizeBytes, length === undefined ? this.sizeBytes : offset + length)
    for (const { from, to, state } of this.#runs(offset, end)) {
      if (state === BLOCK.base) {
        yield* this.#base.extents({
          offset: from,
          length: to - from,
          ...(signal === undefined ? {} : { signal }),
        })
      } else yield { offset: from, length: to - from, kind: state === BLOCK.own ? 'data' : 'hole' }
    }
  }

  /** Ranges that were written or zeroed, ascending, whatever they held before. */
  *changed(): Generator<{ readonly offset: number; readonly length: number }> {
    let start: number | undefined
    let end = 0
    for (const { from, to, state } of this.#runs(0, this.sizeBytes)) {
      if (state === BLOCK.base) continue
      if (start !== undefined && from > end) {
        yield { offset: start, length: end - start }
        start = undefined
      }
      start ??= from
      end = to
    }
    if (start !== undefined) yield { offset: start, length: end - start }
  }

  /** @throws ERR_INVALID_ARGUMENT, ERR_TARGET_FULL, ERR_TARGET_WRITE, and what the base throws. */
  async write(offset: number, data: Uint8Array): Promise<void> {
    this.#assertRange(offset, data.length)
    await this.#exclusively(() => this.#write(offset, data))
  }

  /** @throws ERR_INVALID_ARGUMENT, ERR_TARGET_FULL, ERR_TARGET_WRITE, and what the base throws. */
  async zero(offset: number, length: number): Promise<void> {
    this.#assertRange(offset, length)
    await this.#exclusively(() => this.#zero(offset, offset + length))
  }

  /**
   * Makes what was written durable, and then the map that says so. After a failure nothing can be written any more:
   * the system may have dropped what it could not write, and would not say so again.
   *
   * @throws ERR_TARGET_FULL, ERR_TARGET_WRITE
   */
  async flush(): Promise<void> {
    await this.#exclusively(async () => {
      try {
        await this.#file.datasync()
        const pages = this.#states.takeDirty()
        for (const { page, bytes } of pages) await this.#writeAt(HEADER_BYTES + page * PAGE_BYTES, bytes)
        if (pages.length > 0) await this.#file.datasync()
      } catch (error) {
        this.#failed = targetError(error, 'flush', this.path)
        throw this.#failed
      }
    })
  }

  /** Flushes and closes. Calling it twice is harmless. */
  async close(): Promise<void> {
    if (this.#closed) return
    try {
      if (this.#failed === undefined) await this.flush()
    } finally {
      this.#closed = true
      await this.#claim.release()
      await this.#file.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Stretches of one state between two bytes of the image. */
  *#runs(from: number, to: number): Generator<{ from: number; to: number; state: number }> {
    const last = Math.ceil(to / this.#blockBytes)
    for (let at = from; at < to; ) {
      const block = Math.floor(at / this.#blockBytes)
      const end = Math.min(to, this.#states.runEnd(block, last) * this.#blockBytes)
      yield { from: at, to: end, state: this.#states.get(block) }
      at = end
    }
  }

  async #write(offset: number, data: Uint8Array): Promise<void> {
    const size = this.#blockBytes
    const end = offset + data.length
    if (data.length === 0) return
    const first = Math.floor(offset / size) * size
    const last = Math.min(this.sizeBytes, Math.ceil(end / size) * size)
    // Blocks that are written in part get the rest of what they hold now.
    if (first < offset) await this.#writeOwn(first, await this.#content(first, offset))
    await this.#writeOwn(offset, data)
    if (last > end) await this.#writeOwn(end, await this.#content(end, last))
    this.#states.set(first / size, Math.ceil(last / size), BLOCK.own)
  }

  async #zero(from: number, to: number): Promise<void> {
    const size = this.#blockBytes
    const first = Math.min(to, Math.ceil(from / size) * size)
    const last = to === this.sizeBytes ? to : Math.max(first, Math.floor(to / size) * size)
    if (from < first) await this.#write(from, new Uint8Array(first - from))
    if (first < last) this.#states.set(first / size, Math.ceil(last / size), BLOCK.zero)
    if (last < to) await this.#write(last, new Uint8Array(to - last))
  }

  async #content(from: number, to: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(to - from)
    await this.readInto(from, bytes)
    return bytes
  }

  async #readOwn(offset: number, into: Uint8Array): Promise<void> {
    try {
      const bytes = await readUpTo(this.#file, this.#dataOffset + offset, into.length)
      into.set(bytes)
      // Written, but not to the end of the file: a hole behind it.
      into.fill(0, bytes.length)
    } catch (error) {
      throw targetError(error, 'read', this.path, offset)
    }
  }

  async #writeOwn(offset: number, data: Uint8Array): Promise<void> {
    try {
      await this.#writeAt(this.#dataOffset + offset, data)
    } catch (error) {
      throw targetError(error, 'write to', this.path, offset)
    }
  }

  async #writeAt(position: number, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; ) {
      const { bytesWritten } = await this.#file.write(data, at, data.length - at, position + at)
      at += bytesWritten
    }
  }

  async #loadStates(): Promise<void> {
    const bytes = mapBytes(Math.ceil(this.sizeBytes / this.#blockBytes))
    for (let at = 0; at < bytes; at += MAP_READ_BYTES) {
      const piece = await readUpTo(this.#file, HEADER_BYTES + at, Math.min(MAP_READ_BYTES, bytes - at))
      for (let from = 0; from < piece.length; from += PAGE_BYTES) {
        if (this.#states.load((at + from) / PAGE_BYTES, piece.subarray(from, from + PAGE_BYTES))) continue
        throw new PlatterError('ERR_OVERLAY_INVALID', `The map of the overlay '${this.path}' is damaged.`, {
          path: this.path,
          offset: HEADER_BYTES + at + from,
        })
      }
    }
  }

  async #exclusively<Value>(work: () => Promise<Value>): Promise<Value> {
    const before = this.#queue
    const done = before.then(async () => {
      this.#assertUsable()
      if (this.#failed !== undefined) throw this.#failed
      return await work()
    })
    this.#queue = done.catch(() => undefined)
    return await done
  }

  #assertUsable(): void {
    if (this.#closed)
      throw new PlatterError('ERR_CLOSED', `The overlay '${this.path}' is closed.`, { path: this.path })
  }

  #assertRange(offset: number, length: number): void {
    if (Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset + length <= this.sizeBytes)
      return
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `${length} bytes at ${offset} do not lie in an image of ${this.sizeBytes} bytes.`,
    )
  }
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw targetOpenError(error, path)
  }
  try {
    return await open(path, 'wx+', 0o600)
  } catch (error) {
    throw targetOpenError(error, path)
  }
}

async function readOrWriteHeader(
  file: FileHandle,
  path: string,
  image: BlockImage,
  base: string,
): Promise<OverlayHeader> {
  const { size } = await file.stat()
  if (size === 0) {
    const header = { blockBytes: BLOCK_BYTES, sizeBytes: image.sizeBytes, base }
    await file.write(encodeHeader(header), 0, HEADER_BYTES, 0)
    await file.sync()
    return header
  }
  const header = decodeHeader(await readUpTo(file, 0, HEADER_BYTES), path)
  if (header.base !== base || header.sizeBytes !== image.sizeBytes) {
    throw new PlatterError(
      'ERR_OVERLAY_INVALID',
      `The overlay '${path}' lies over ${header.base}, an image of ${header.sizeBytes} bytes. Over ${base} it would show a mixture of two disks.`,
      { path, expected: base, actual: header.base },
    )
  }
  return header
}

/** Up to `length` bytes; fewer only at the end of the file. */
async function readUpTo(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  while (at < length) {
    const { bytesRead } = await file.read(bytes, at, length - at, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return bytes.subarray(0, at)
}
