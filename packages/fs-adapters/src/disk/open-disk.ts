import type { BlockSource } from '@platter/core'
import { type OpenSourceOptions, openSource } from '../sources/open-source.ts'
import { DiskSource, type DiskSourceOptions } from './disk-source.ts'
import { mountsOf } from './mounts.ts'
import { surveyWarnings } from './survey-warnings.ts'

/** Options of {@link openDisk}. */
export interface OpenDiskOptions extends OpenSourceOptions, DiskSourceOptions {}

/**
 * Opens a disk, a partition or an image of one for a backup of what is in use on it: a {@link DiskSource} of what
 * `openSource` opens. Its partition table and filesystems are read; where they do not say beyond doubt what is in use,
 * the partition, or the disk, is read whole, and `onWarning` hears why (WARN_VOLUME_READ_WHOLE, WARN_DISK_READ_WHOLE).
 * With the policy `exact` everything is read, and no such warning given.
 *
 * A stream can be read only once, so nothing is known of it: it is given as `openSource` opens it, and read whole.
 *
 * ```ts
 * await using disk = await openDisk('/dev/sda')
 * await repository.backup(disk, { name: 'web-01/sda' })
 * ```
 *
 * @throws what `openSource` and {@link DiskSource.open} throw.
 */
export async function openDisk(path: string, options: OpenDiskOptions = {}): Promise<BlockSource> {
  const source = await openSource(path, options)
  if (source.sequential) return source
  try {
    const mounts = options.mounts ?? (source.info.kind === 'block-device' ? await mountsOf(path) : undefined)
    const disk = await DiskSource.open(source, { ...options, ...(mounts === undefined ? {} : { mounts }) })
    if (disk.policy !== 'exact')
      for (const warning of surveyWarnings(disk.survey, path)) options.onWarning?.(warning)
    return disk
  } catch (error) {
    await source.close()
    throw error
  }
}
