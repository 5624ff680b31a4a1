import { readdir, readFile, stat } from 'node:fs/promises'
import { type DeviceNumber, deviceNumberOf, sysfsFolder, withPartitions } from './block-device.ts'

/**
 * Says what uses a block device or one of its partitions, for people: 'mounted at /srv'; undefined when nothing
 * is known to. Other name spaces are not seen here; opening the device exclusively finds them too.
 */
export async function deviceUse(device: DeviceNumber): Promise<string | undefined> {
  const devices = new Set(await withPartitions(device))
  return (await mountOf(devices)) ?? (await swapOf(devices)) ?? (await holderOf(devices))
}

/**
 * Where a block device, one of its partitions, or a device made of them (RAID, LVM, encryption) is mounted in a way
 * that lets files be written; undefined when it is nowhere known to be.
 */
export async function writableMount(device: DeviceNumber): Promise<string | undefined> {
  return await writableMountOf(await withPartitions(device))
}

/** The same of any of some devices, without their partitions. */
export async function writableMountOf(among: readonly DeviceNumber[]): Promise<string | undefined> {
  const devices = new Set(await withHolders(among))
  const isOn = async (mount: Mount): Promise<boolean> =>
    devices.has(mount.device) || devices.has((await numberOf(mount.source)) ?? '')
  for (const mount of parseMounts(await readTable('/proc/self/mountinfo')))
    if (mount.writable && (await isOn(mount))) return mount.path
  return undefined
}

/** The devices, and all that are made of them. */
async function withHolders(devices: readonly DeviceNumber[]): Promise<DeviceNumber[]> {
  const found = [...devices]
  // The list grows while it is gone through: what is made of a device may have partitions, and be part of another.
  for (const device of found) {
    const folder = `${sysfsFolder(device)}/holders`
    for (const holder of await readdir(folder).catch(() => [])) {
      const number = (await readTable(`${folder}/${holder}/dev`)).trim()
      if (number === '') continue
      for (const one of await withPartitions(number)) if (!found.includes(one)) found.push(one)
    }
  }
  return found
}

async function mountOf(devices: ReadonlySet<DeviceNumber>): Promise<string | undefined> {
  for (const mount of parseMounts(await readTable('/proc/self/mountinfo'))) {
    if (devices.has(mount.device) || devices.has((await numberOf(mount.source)) ?? '')) {
      return `mounted at ${mount.path}`
    }
  }
  return undefined
}

async function swapOf(devices: ReadonlySet<DeviceNumber>): Promise<string | undefined> {
  for (const path of parseSwaps(await readTable('/proc/swaps'))) {
    if (devices.has((await numberOf(path)) ?? '')) return `swap space (${path})`
  }
  return undefined
}

async function holderOf(devices: ReadonlySet<DeviceNumber>): Promise<string | undefined> {
  for (const device of devices) {
    const [holder] = await readdir(`${sysfsFolder(device)}/holders`).catch(() => [])
    if (holder !== undefined) return `part of ${holder}`
  }
  return undefined
}

/** A line of /proc/self/mountinfo; see proc(5). */
export interface Mount {
  readonly device: DeviceNumber
  readonly path: string
  /** What is mounted. File systems over several devices (btrfs) show a made-up `device`, but a true source. */
  readonly source: string
  /** Whether the file system takes writes; a mount of it that does not may stand beside one that does. */
  readonly writable: boolean
}

/** Parses /proc/self/mountinfo. */
export function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ')
    const fields = before?.split(' ') ?? []
    const [, , device, , path] = fields
    const [, source, superOptions] = after?.split(' ') ?? []
    if (device === undefined || path === undefined || source === undefined) continue
    const writable = superOptions?.split(',')[0] === 'rw'
    mounts.push({ device, path: unescapeOctal(path), source: unescapeOctal(source), writable })
  }
  return mounts
}

/** Paths in /proc/swaps. */
export function parseSwaps(text: string): string[] {
  const paths = text
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s/)[0] ?? '')
  return paths.filter((path) => path !== '').map(unescapeOctal)
}

/** The kernel writes blanks and backslashes in these tables as \040 and the like. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

async function numberOf(path: string): Promise<DeviceNumber | undefined> {
  if (!path.startsWith('/')) return undefined
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  return facts?.isBlockDevice() ? deviceNumberOf(facts.rdev) : undefined
}

async function readTable(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '')
}
