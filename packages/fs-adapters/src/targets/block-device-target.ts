import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { BlockTarget, DirectWrite, TargetCallOptions, TargetInfo } from '@platter/core'
import { PlatterError, systemCodeOf } from '@platter/core'
import { blockDeviceFacts, deviceIdentity, deviceNumberOf, isReadOnly } from '../system/block-device.ts'
import { deviceUse } from '../system/device-use.ts'
import { type LinuxCallsOption, resolveLinuxCalls } from '../system/linux-calls.ts'
import { PositionedWriter } from './positioned-writer.ts'
import { targetOpenError, targetTooSmall } from './target-errors.ts'

/** Options of {@link BlockDeviceTarget.open}. */
export interface BlockDeviceTargetOptions extends LinuxCallsOption {
  /** Write even to a device that is in use, which destroys what uses it. Default false. */
  readonly force?: boolean
}

/** Zeroing in place is done in whole pages; the kernel asks for whole sectors, and no sector is larger. */
const ZERO_ALIGNMENT_BYTES = 4096

/** A disk, a partition or another block device, to be overwritten. What lies behind the image stays as it is. */
export class BlockDeviceTarget implements BlockTarget {
  readonly info: TargetInfo
  readonly sequential = false
  readonly direct: DirectWrite
  readonly dropCache?: () => Promise<void>
  readonly #capacityBytes: number
  readonly #writer: PositionedWriter

  private constructor(
    path: string,
    handle: FileHandle,
    facts: { sizeBytes: number; logicalSectorBytes: number; identity: string },
    options: LinuxCallsOption,
  ) {
    const { sizeBytes: capacityBytes, logicalSectorBytes, identity } = facts
    this.#capacityBytes = capacityBytes
    const calls = resolveLinuxCalls(options)
    this.#writer = new PositionedWriter(handle, path, {
      // A hole in a device is discarded where that is sure to read as zeros, and refused elsewhere.
      zeroRanges: [calls?.punchHole, calls?.zeroBlocks],
      alignmentBytes: ZERO_ALIGNMENT_BYTES,
    })
    this.direct = { fd: handle.fd }
    this.info = { kind: 'block-device', label: path, capacityBytes, logicalSectorBytes, identity }
    if (calls?.dropCache !== undefined) this.dropCache = async () => calls.dropCache?.(handle.fd)
  }

  /**
   * Opens a block device for writing, for this process alone. It is refused while it, or one of its partitions,
   * is mounted, swap space, or part of another device (RAID, LVM, encryption).
   *
   * @throws ERR_TARGET_MOUNTED unless `force` is set.
   * @throws ERR_TARGET_NOT_FOUND, ERR_TARGET_ACCESS, ERR_TARGET_WRITE
   * @throws ERR_TARGET_UNSUPPORTED when it is something else than a block device.
   */
  static async open(path: string, options: BlockDeviceTargetOptions = {}): Promise<BlockDeviceTarget> {
    const { force = false } = options
    try {
      const handle = await openExclusively(path, force)
      try {
        const stat = await handle.stat({ bigint: true })
        if (!stat.isBlockDevice()) throw notBlockDevice(path)
        const device = deviceNumberOf(stat.rdev)
        if (await isReadOnly(device)) throw readOnly(path)
        const use = force ? undefined : await deviceUse(device)
        if (use !== undefined) throw deviceInUse(path, use)
        const facts = await blockDeviceFacts(handle, device, resolveLinuxCalls(options))
        const identity = await deviceIdentity(device)
        return new BlockDeviceTarget(path, handle, { ...facts, identity }, options)
      } catch (error) {
        await handle.close()
        throw error
      }
    } catch (error) {
      throw targetOpenError(error, path)
    }
  }

  /** @throws ERR_TARGET_TOO_SMALL */
  async prepare(imageBytes: number): Promise<{ readonly blank: boolean }> {
    this.#writer.assertOpen()
    if (imageBytes > this.#capacityBytes) {
      throw targetTooSmall(this.info.label, imageBytes, this.#capacityBytes)
    }
    this.#writer.imageBytes = imageBytes
    return { blank: false }
  }

  async write(offset: number, data: Uint8Array, options: TargetCallOptions = {}): Promise<void> {
    await this.#writer.write(offset, data, options)
  }

  /** Lets the device make the zeros where the system can do that, and writes them elsewhere. */
  async zero(offset: number, length: number, options: TargetCallOptions = {}): Promise<void> {
    await this.#writer.zero(offset, length, options)
  }

  async read(offset: number, into: Uint8Array, options: TargetCallOptions = {}): Promise<number> {
    return await this.#writer.read(offset, into, options)
  }

  async flush(): Promise<void> {
    await this.#writer.flush()
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function openExclusively(path: string, force: boolean): Promise<FileHandle> {
  try {
    // For a block device O_EXCL without O_CREAT means: not while a mount or another device holds it (open(2)).
    return await open(path, constants.O_RDWR | (force ? 0 : constants.O_EXCL))
  } catch (error) {
    if (systemCodeOf(error) !== 'EBUSY') throw error
    throw deviceInUse(path, await useOfPath(path))
  }
}

async function useOfPath(path: string): Promise<string> {
  const held = 'held by the system, or mounted where this process cannot see it'
  const handle = await open(path, constants.O_RDONLY).catch(() => undefined)
  if (handle === undefined) return held
  try {
    const { rdev } = await handle.stat({ bigint: true })
    return (await deviceUse(deviceNumberOf(rdev))) ?? held
  } finally {
    await handle.close()
  }
}

function deviceInUse(path: string, use: string): PlatterError {
  return new PlatterError(
    'ERR_TARGET_MOUNTED',
    `'${path}' is in use: ${use}. Overwriting it would destroy that; unmount or detach it first.`,
    { path, actual: use },
  )
}

function readOnly(path: string): PlatterError {
  return new PlatterError('ERR_TARGET_ACCESS', `'${path}' is set to read-only.`, { path })
}

function notBlockDevice(path: string): PlatterError {
  return new PlatterError('ERR_TARGET_UNSUPPORTED', `'${path}' is not a block device.`, { path })
}
