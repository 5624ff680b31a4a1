import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlockSource, DirectRead, Extent, SourceCallOptions, SourceInfo } from '@platter/core'
import { PlatterError } from '@platter/core'
import {
  type BlockDeviceFacts,
  blockDeviceFacts,
  type DeviceNumber,
  deviceNumberOf,
} from '../system/block-device.ts'
import { writableMount } from '../system/device-use.ts'
import { type LinuxCallsOption, resolveLinuxCalls } from '../system/linux-calls.ts'
import { wholeAsData } from './memory-source.ts'
import { PositionedReader } from './positioned-reader.ts'
import { sourceChanged, sourceOpenError, sourceReadError } from './source-errors.ts'
import { mountedWarning, type SourceWarningOption, staleWarning } from './source-warning.ts'

/** Options of {@link BlockDeviceSource.open}. */
export interface BlockDeviceSourceOptions extends LinuxCallsOption, SourceWarningOption {}

/** A disk, a partition or another block device. Devices do not tell holes, so all of it is data. */
export class BlockDeviceSource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = false
  readonly direct: DirectRead
  readonly #handle: FileHandle
  readonly #device: DeviceNumber
  readonly #reader: PositionedReader
  readonly #options: LinuxCallsOption

  private constructor(
    path: string,
    handle: FileHandle,
    device: DeviceNumber,
    facts: BlockDeviceFacts,
    options: LinuxCallsOption,
  ) {
    this.#handle = handle
    this.#device = device
    this.#options = options
    this.#reader = new PositionedReader(handle, path, facts.sizeBytes)
    this.direct = { fd: handle.fd }
    this.info = { kind: 'block-device', label: path, ...facts }
  }

  /**
   * Opens a block device for reading; usually only root and the group 'disk' may. One that is mounted for writing is
   * read like any other, after a warning. What the kernel holds of it in memory is dropped: that of a disk is not
   * renewed by writes to its partitions, and stays as long as anybody has the disk or another partition open.
   *
   * @throws ERR_SOURCE_NOT_FOUND, ERR_SOURCE_ACCESS, ERR_SOURCE_READ
   * @throws ERR_SOURCE_UNSUPPORTED when it is something else.
   */
  static async open(path: string, options: BlockDeviceSourceOptions = {}): Promise<BlockDeviceSource> {
    try {
      const handle = await open(path, constants.O_RDONLY)
      try {
        const stat = await handle.stat({ bigint: true })
        if (!stat.isBlockDevice()) throw notBlockDevice(path)
        const device = deviceNumberOf(stat.rdev)
        const calls = resolveLinuxCalls(options)
        if (calls?.dropCache === undefined) options.onWarning?.(staleWarning(path))
        else calls.dropCache(handle.fd)
        const facts = await blockDeviceFacts(handle, device, calls)
        const mountPoint = options.onWarning === undefined ? undefined : await writableMount(device)
        if (mountPoint !== undefined) options.onWarning?.(mountedWarning(path, mountPoint))
        return new BlockDeviceSource(path, handle, device, facts, options)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      throw sourceOpenError(error, path)
    }
  }

  async *extents(options: SourceCallOptions = {}): AsyncIterable<Extent> {
    this.#reader.assertOpen()
    options.signal?.throwIfAborted()
    yield* wholeAsData(this.#reader.sizeBytes)
  }

  /** @throws ERR_SOURCE_READ; ERR_SOURCE_CHANGED when the device has become smaller. */
  async read(offset: number, into: Uint8Array, options: SourceCallOptions = {}): Promise<number> {
    return await this.#reader.read(offset, into, options)
  }

  /**
   * Only the size is compared: nothing tells whether a device was written to. What is read afterwards comes from the
   * device, and not from memory.
   *
   * @throws ERR_SOURCE_CHANGED
   */
  async assertUnchanged(): Promise<void> {
    this.#reader.assertOpen()
    const calls = resolveLinuxCalls(this.#options)
    calls?.dropCache?.(this.#handle.fd)
    const now = await blockDeviceFacts(this.#handle, this.#device, calls).catch((error: unknown) => {
      throw sourceReadError(error, this.info.label, 0)
    })
    const [expected, actual] = [this.#reader.sizeBytes, now.sizeBytes]
    if (actual === expected) return
    throw sourceChanged(this.info.label, `it had ${expected} bytes and has ${actual} now`, {
      expected,
      actual,
    })
  }

  async close(): Promise<void> {
    await this.#reader.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

function notBlockDevice(path: string): PlatterError {
  return new PlatterError('ERR_SOURCE_UNSUPPORTED', `'${path}' is not a block device.`, { path })
}
