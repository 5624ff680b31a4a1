import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { PlatterError } from '@platter/core'

/**
 * Refuses a source in the repository's own folder: it would change, and grow, by being backed up.
 *
 * @throws ERR_SOURCE_UNSUPPORTED
 */
export async function assertSourceOutside(source: string, repository: string): Promise<void> {
  if (source === '-' || !(await isWithin(source, repository))) return
  throw new PlatterError(
    'ERR_SOURCE_UNSUPPORTED',
    `'${source}' lies in the repository '${repository}'; a repository cannot be backed up into itself.`,
    { path: source },
  )
}

/**
 * Refuses a target in the repository's own folder, or that is the device the repository is stored on: the
 * restore would overwrite what it reads.
 *
 * @throws ERR_TARGET_UNSUPPORTED
 */
export async function assertTargetOutside(target: string, repository: string): Promise<void> {
  if (target === '-') return
  const inside = await isWithin(target, repository)
  if (!inside && !(await isDeviceOf(target, repository))) return
  throw new PlatterError(
    'ERR_TARGET_UNSUPPORTED',
    inside
      ? `'${target}' lies in the repository '${repository}'; restoring there would damage it.`
      : `The repository '${repository}' is stored on '${target}'; restoring there would destroy it.`,
    { path: target },
  )
}

/**
 * Refuses a target that is the source, or a disk and its partition.
 *
 * @throws ERR_TARGET_UNSUPPORTED
 */
export async function assertDistinct(source: string, target: string): Promise<void> {
  const [one, other] = [await stat(source).catch(() => undefined), await stat(target).catch(() => undefined)]
  if (one === undefined || other === undefined) return
  const areDevices = one.isBlockDevice() && other.isBlockDevice()
  const isSameFile = one.dev === other.dev && one.ino === other.ino
  const isSame = isSameFile || (areDevices && (await diskOf(one.rdev)) === (await diskOf(other.rdev)))
  if (!isSame && !(other.isBlockDevice() && one.dev === other.rdev)) return
  throw new PlatterError(
    'ERR_TARGET_UNSUPPORTED',
    `'${source}' and '${target}' are the same, or one lies on the other; cloning would destroy what it reads.`,
    { path: target },
  )
}

/** The disk of a partition in sysfs, or the device itself. */
async function diskOf(rdev: number): Promise<string> {
  const device = BigInt(rdev)
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn)
  const folder = await realpath(`/sys/dev/block/${major}:${minor}`).catch(() => `${major}:${minor}`)
  const isPartition = await stat(join(folder, 'partition')).then(
    () => true,
    () => false,
  )
  return isPartition ? dirname(folder) : folder
}

async function isWithin(path: string, folder: string): Promise<boolean> {
  const way = relative(await realLocation(folder), await realLocation(path))
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`))
}

/** The path without symbolic links, as far as it exists. */
async function realLocation(path: string): Promise<string> {
  const full = resolve(path)
  try {
    return await realpath(full)
  } catch {
    // What cannot be resolved does not exist, or opening it will say why not.
    return dirname(full) === full ? full : join(await realLocation(dirname(full)), basename(full))
  }
}

async function isDeviceOf(path: string, folder: string): Promise<boolean> {
  const device = await stat(path).catch(() => undefined)
  const stored = await stat(folder).catch(() => undefined)
  return device?.isBlockDevice() === true && stored !== undefined && device.rdev === stored.dev
}
