import type { BigIntStats } from 'node:fs'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlockSource, DirectRead, Extent, SourceCallOptions, SourceInfo } from '@platter/core'
import { PlatterError } from '@platter/core'
import { type LinuxCallsOption, resolveLinuxCalls } from '../system/linux-calls.ts'
import { fileExtents } from './file-extents.ts'
import { PositionedReader } from './positioned-reader.ts'
import { sourceChanged, sourceOpenError, sourceReadError } from './source-errors.ts'

/** Options of {@link FileSource.open}. */
export interface FileSourceOptions extends LinuxCallsOption {}

/**
 * A raw image in a regular file. Holes are found where the system tells them; elsewhere all of it is data.
 *
 * @example
 * await using source = await FileSource.open('disk.raw')
 */
export class FileSource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = false
  readonly direct: DirectRead
  readonly #handle: FileHandle
  readonly #opened: BigIntStats
  readonly #reader: PositionedReader
  readonly #options: LinuxCallsOption

  private constructor(path: string, handle: FileHandle, stat: BigIntStats, options: LinuxCallsOption) {
    this.#handle = handle
    this.#opened = stat
    this.#options = options
    this.#reader = new PositionedReader(handle, path, Number(stat.size))
    this.direct = { fd: handle.fd }
    this.info = {
      kind: 'file',
      label: path,
      sizeBytes: this.#reader.sizeBytes,
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
    }
  }

  /**
   * Opens a regular file. Its size is that of this moment; what is appended later is not part of the image.
   *
   * @throws ERR_SOURCE_NOT_FOUND, ERR_SOURCE_ACCESS, ERR_SOURCE_READ, ERR_SOURCE_IS_DIRECTORY
   * @throws ERR_SOURCE_UNSUPPORTED when it is something else than a file.
   */
  static async open(path: string, options: FileSourceOptions = {}): Promise<FileSource> {
    try {
      // O_NONBLOCK: opening a FIFO by mistake must not wait for a writer.
      const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      try {
        const stat = await handle.stat({ bigint: true })
        assertRegularFile(path, stat)
        return new FileSource(path, handle, stat, options)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      throw sourceOpenError(error, path)
    }
  }

  /** @throws ERR_SOURCE_READ */
  async *extents(options: SourceCallOptions = {}): AsyncIterable<Extent> {
    this.#reader.assertOpen()
    let offset = 0
    try {
      const calls = resolveLinuxCalls(this.#options)
      for await (const extent of fileExtents(this.#handle.fd, this.#reader.sizeBytes, calls)) {
        options.signal?.throwIfAborted()
        offset = extent.offset
        yield extent
        this.#reader.assertOpen() // the number of a closed descriptor may belong to another file by now
      }
    } catch (error) {
      if (options.signal?.aborted) throw error
      throw sourceReadError(error, this.info.label, offset)
    }
  }

  /** @throws ERR_SOURCE_READ; ERR_SOURCE_CHANGED when the file has become shorter. */
  async read(offset: number, into: Uint8Array, options: SourceCallOptions = {}): Promise<number> {
    return await this.#reader.read(offset, into, options)
  }

  /**
   * Throws when the size or the time of the last modification is another than when the file was opened.
   *
   * @throws ERR_SOURCE_CHANGED, ERR_SOURCE_READ
   */
  async assertUnchanged(): Promise<void> {
    this.#reader.assertOpen()
    const { label } = this.info
    const now = await this.#handle.stat({ bigint: true }).catch((error: unknown) => {
      throw sourceReadError(error, label, 0)
    })
    if (now.size !== this.#opened.size) {
      const [expected, actual] = [Number(this.#opened.size), Number(now.size)]
      throw sourceChanged(label, `it had ${expected} bytes and has ${actual} now`, { expected, actual })
    }
    if (now.mtimeNs !== this.#opened.mtimeNs) {
      const [expected, actual] = [this.#opened.mtime.toISOString(), now.mtime.toISOString()]
      throw sourceChanged(label, `it was written to at ${actual}`, { expected, actual })
    }
  }

  async close(): Promise<void> {
    await this.#reader.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function assertRegularFile(path: string, stat: BigIntStats): void {
  if (stat.isFile()) return
  if (stat.isDirectory()) {
    throw new PlatterError('ERR_SOURCE_IS_DIRECTORY', `'${path}' is a folder, not a disk image.`, { path })
  }
  throw new PlatterError('ERR_SOURCE_UNSUPPORTED', `'${path}' is not a regular file.`, { path })
}
