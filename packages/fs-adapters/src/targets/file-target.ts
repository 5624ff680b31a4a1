import { constants } from 'node:fs'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BlockTarget, DirectWrite, TargetCallOptions, TargetInfo } from '@platter/core'
import { PlatterError, systemCodeOf } from '@platter/core'
import { type LinuxCallsOption, resolveLinuxCalls } from '../system/linux-calls.ts'
import { PositionedWriter } from './positioned-writer.ts'
import { targetError, targetOpenError, targetTooSmall } from './target-errors.ts'

/** Options of {@link FileTarget.open}. */
export interface FileTargetOptions extends LinuxCallsOption {
  /** Accept a file that has content. Default false. */
  readonly overwrite?: boolean
  /** Permissions of a new file, less the umask. Default 0o600, as a disk holds secrets. */
  readonly fileMode?: number
}

/** A raw image in a regular file. It is sparse: what is not written takes no space and reads as zeros. */
export class FileTarget implements BlockTarget {
  readonly info: TargetInfo
  readonly sequential = false
  readonly direct: DirectWrite
  readonly dropCache?: () => Promise<void>
  readonly #path: string
  readonly #handle: FileHandle
  readonly #created: boolean
  readonly #writer: PositionedWriter

  private constructor(
    path: string,
    handle: FileHandle,
    created: boolean,
    identity: string,
    options: LinuxCallsOption,
  ) {
    this.#path = path
    this.#handle = handle
    this.#created = created
    this.#writer = new PositionedWriter(handle, path, {
      zeroRanges: [resolveLinuxCalls(options)?.punchHole],
      alignmentBytes: 1,
    })
    this.direct = { fd: handle.fd }
    this.info = { kind: 'file', label: path, capacityBytes: undefined, identity }
    const calls = resolveLinuxCalls(options)
    if (calls?.dropCache !== undefined) this.dropCache = async () => calls.dropCache?.(handle.fd)
  }

  /**
   * Opens a file for writing, and creates it if it is not there.
   *
   * @throws ERR_TARGET_EXISTS when it has content and `overwrite` is not set.
   * @throws ERR_TARGET_NOT_FOUND, ERR_TARGET_ACCESS, ERR_TARGET_UNSUPPORTED, ERR_TARGET_FULL, ERR_TARGET_WRITE
   */
  static async open(path: string, options: FileTargetOptions = {}): Promise<FileTarget> {
    const { overwrite = false, fileMode = 0o600 } = options
    try {
      const { handle, created } = await openOrCreate(path, fileMode)
      try {
        const stat = await handle.stat()
        if (!stat.isFile()) throw notRegular(path)
        if (stat.size > 0 && !overwrite) throw targetExists(path)
        return new FileTarget(path, handle, created, `${stat.dev}:${stat.ino}`, options)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      throw targetOpenError(error, path)
    }
  }

  /** Gives the file exactly the size of the image. */
  async prepare(
    imageBytes: number,
    options: { readonly keepContent?: boolean } = {},
  ): Promise<{ readonly blank: boolean }> {
    this.#writer.assertOpen()
    try {
      const before = (await this.#handle.stat()).size
      // First to the full size: where that is refused, the old content is still whole.
      await this.#handle.truncate(imageBytes)
      if (before > 0 && !options.keepContent) {
        await this.#handle.truncate(0)
        await this.#handle.truncate(imageBytes)
      }
      this.#writer.imageBytes = imageBytes
      return { blank: before === 0 || !options.keepContent }
    } catch (error) {
      if (systemCodeOf(error) === 'EFBIG') throw targetTooSmall(this.#path, imageBytes, undefined)
      throw targetError(error, `give ${imageBytes} bytes to`, this.#path)
    }
  }

  async write(offset: number, data: Uint8Array, options: TargetCallOptions = {}): Promise<void> {
    await this.#writer.write(offset, data, options)
  }

  /** Punches a hole where the system can do that, and writes zeros elsewhere. */
  async zero(offset: number, length: number, options: TargetCallOptions = {}): Promise<void> {
    await this.#writer.zero(offset, length, options)
  }

  async read(offset: number, into: Uint8Array, options: TargetCallOptions = {}): Promise<number> {
    return await this.#writer.read(offset, into, options)
  }

  /** Syncs the file, and its entry in the folder when it is new. */
  async flush(): Promise<void> {
    await this.#writer.flush()
    if (this.#created) await syncFolder(dirname(this.#path), this.#path)
  }

  /** A file that was created here and never prepared, so is still empty, is removed again. */
  async close(): Promise<void> {
    const closedNow = await this.#writer.close()
    if (closedNow && this.#created && this.#writer.imageBytes === undefined)
      await unlink(this.#path).catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function openOrCreate(path: string, mode: number): Promise<{ handle: FileHandle; created: boolean }> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL
  try {
    return { handle: await open(path, flags, mode), created: true }
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error
    // O_NONBLOCK: opening a FIFO by mistake must not wait for a reader.
    return { handle: await open(path, constants.O_RDWR | (constants.O_NONBLOCK ?? 0)), created: false }
  }
}

async function syncFolder(folder: string, path: string): Promise<void> {
  if (process.platform === 'win32') return
  try {
    const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    // Some network shares have no such call for folders, and some folders may be written but not read.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EACCES'].includes(systemCodeOf(error) ?? '')) {
      throw targetError(error, 'make durable the folder of', path)
    }
  }
}

function targetExists(path: string): PlatterError {
  return new PlatterError(
    'ERR_TARGET_EXISTS',
    `'${path}' exists and has content. Choose another name, or allow overwriting it.`,
    { path },
  )
}

function notRegular(path: string): PlatterError {
  return new PlatterError('ERR_TARGET_UNSUPPORTED', `'${path}' is not a regular file.`, { path })
}
