import { constants } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { systemCodeOf, type TargetInfo } from '@platter/core'
import { blockDeviceFacts, deviceIdentity, deviceNumberOf } from '../system/block-device.ts'
import { deviceUse } from '../system/device-use.ts'
import { loadLinuxCalls } from '../system/linux-calls.ts'
import { targetOpenError } from '../targets/target-errors.ts'

/** What is at a place that an image shall go to. */
export interface InspectedTarget extends TargetInfo {
  /** 'file', 'block-device', 'new file' where nothing is yet, 'other'. */
  readonly kind: string
  /** Of a file that is there. */
  readonly sizeBytes?: number
  /** What uses a device, for people. */
  readonly inUse?: string
}

/** Looks at a target without opening it for writing, or creating it. @throws ERR_TARGET_ACCESS, ERR_TARGET_NOT_FOUND */
export async function inspectTarget(path: string): Promise<InspectedTarget> {
  const none = { label: path, capacityBytes: undefined }
  try {
    const facts = await stat(path, { bigint: true })
    if (facts.isFile())
      return { ...none, kind: 'file', sizeBytes: Number(facts.size), identity: `${facts.dev}:${facts.ino}` }
    if (!facts.isBlockDevice()) return { ...none, kind: 'other' }
    const device = deviceNumberOf(facts.rdev)
    const handle = await open(path, constants.O_RDONLY)
    try {
      const { sizeBytes, logicalSectorBytes } = await blockDeviceFacts(handle, device, loadLinuxCalls())
      const inUse = await deviceUse(device)
      return {
        kind: 'block-device',
        label: path,
        capacityBytes: sizeBytes,
        logicalSectorBytes,
        identity: await deviceIdentity(device),
        ...(inUse === undefined ? {} : { inUse }),
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return { ...none, kind: 'new file' }
    throw targetOpenError(error, path)
  }
}
