import type { FileHandle } from 'node:fs/promises'
import { readdir, readFile } from 'node:fs/promises'
import type { LinuxCalls } from './linux-calls.ts'

/** Number of a block device as the system writes it, such as '8:1'. */
export type DeviceNumber = string

/** Facts about an open block device. */
export interface BlockDeviceFacts {
  readonly sizeBytes: number
  readonly logicalSectorBytes: number
  readonly physicalSectorBytes: number
}

/** Sectors in sysfs are of this size, whatever those of the device are. */
const SYSFS_SECTOR_BYTES = 512

/** Splits a `dev_t` as `stat` gives it (the encoding of Linux, <sys/sysmacros.h>). */
export function deviceNumberOf(rdev: bigint): DeviceNumber {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)
  return `${major}:${minor}`
}

/** Folder of sysfs about a device, whatever it is called. */
export function sysfsFolder(device: DeviceNumber): string {
  return `/sys/dev/block/${device}`
}

/** Size and sector sizes: from sysfs, else by asking the kernel, else by reading. */
export async function blockDeviceFacts(
  handle: FileHandle,
  device: DeviceNumber,
  calls: LinuxCalls | undefined,
): Promise<BlockDeviceFacts> {
  const folder = sysfsFolder(device)
  const sectors = await readNumber(`${folder}/size`)
  const logicalSectorBytes = (await readQueue(folder, 'logical_block_size')) ?? 512
  return {
    sizeBytes: sectors === undefined ? await measure(handle, calls) : sectors * SYSFS_SECTOR_BYTES,
    logicalSectorBytes,
    physicalSectorBytes: (await readQueue(folder, 'physical_block_size')) ?? logicalSectorBytes,
  }
}

/** True for a device set to read-only; the kernel lets root open it for writing nevertheless. */
export async function isReadOnly(device: DeviceNumber): Promise<boolean> {
  return (await readNumber(`${sysfsFolder(device)}/ro`)) === 1
}

/** Names of files in sysfs that tell a device from others of its kind, those of its disk as well. */
const IDENTITY_FILES = [
  'wwid',
  'device/wwid',
  'device/serial',
  'device/model',
  'dm/uuid',
  'loop/backing_file',
]

/** What tells a device from others, also under another name: model, serial number and the like, as far as known. */
export async function deviceIdentity(device: DeviceNumber): Promise<string> {
  const folder = sysfsFolder(device)
  const partition = await readNumber(`${folder}/partition`)
  const facts: string[] = []
  for (const name of IDENTITY_FILES) {
    const text = await readText(partition === undefined ? `${folder}/${name}` : `${folder}/../${name}`)
    if (text !== undefined && text !== '' && !facts.includes(text)) facts.push(text.replaceAll(/\s+/g, ' '))
  }
  if (facts.length === 0) facts.push(`device ${device}`)
  return partition === undefined ? facts.join(', ') : `${facts.join(', ')}, partition ${partition}`
}

/** The device and its partitions. */
export async function withPartitions(device: DeviceNumber): Promise<DeviceNumber[]> {
  return [device, ...(await partitionsOf(device)).map((partition) => partition.device)]
}

/** The partitions of a device that the system knows, and their numbers. */
export async function partitionsOf(
  device: DeviceNumber,
): Promise<{ readonly number: number; readonly device: DeviceNumber }[]> {
  const folder = sysfsFolder(device)
  const found = []
  for (const name of await readdir(folder).catch(() => [])) {
    const number = await readNumber(`${folder}/${name}/partition`)
    const partition = await readText(`${folder}/${name}/dev`)
    if (number !== undefined && partition !== undefined) found.push({ number, device: partition })
  }
  return found
}

/** A partition has no queue of its own; that of its disk stands one folder up. */
async function readQueue(folder: string, name: string): Promise<number | undefined> {
  return (await readNumber(`${folder}/queue/${name}`)) ?? (await readNumber(`${folder}/../queue/${name}`))
}

async function readNumber(path: string): Promise<number | undefined> {
  return parseSysfsNumber((await readText(path)) ?? '')
}

/** A number as sysfs writes it; undefined for anything else. */
export function parseSysfsNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, 'latin1').then(
    (text) => text.trim(),
    () => undefined,
  )
}

async function measure(handle: FileHandle, calls: LinuxCalls | undefined): Promise<number> {
  return calls === undefined ? await sizeByReading(handle) : calls.blockDeviceBytes(handle.fd)
}

/**
 * Finds the size by where reading ends: in steps twice as far, then by halving.
 *
 * @throws the error of the file system
 */
export async function sizeByReading(handle: Pick<FileHandle, 'read'>): Promise<number> {
  const byte = new Uint8Array(1)
  const holds = async (offset: number): Promise<boolean> =>
    (await handle.read(byte, 0, 1, offset)).bytesRead === 1
  if (!(await holds(0))) return 0
  let inside = 0
  let outside = SYSFS_SECTOR_BYTES
  while (outside < Number.MAX_SAFE_INTEGER / 2 && (await holds(outside))) {
    inside = outside
    outside *= 2
  }
  while (outside - inside > 1) {
    const middle = inside + Math.floor((outside - inside) / 2)
    if (await holds(middle)) inside = middle
    else outside = middle
  }
  return outside
}
