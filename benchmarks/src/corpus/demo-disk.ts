import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseGeneratedContents } from './disk-contents.ts'
import { layOutDisk, writePartitionTable } from './disk-layout.ts'
import { copySparse, createSparse } from './sparse-image.ts'
import { SyntheticFilesystem } from './synthetic-filesystem.ts'

export interface DemoDiskOptions {
  readonly folder: string
  /** Size of the disk, in bytes; whole MiB. */
  readonly diskBytes?: number
  /** Size of the files on it, in bytes. */
  readonly dataBytes?: number
  readonly signal?: AbortSignal
}

export const DEMO_DISK_DEFAULTS = Object.freeze({ diskBytes: 256 * 2 ** 20, dataBytes: 120e6 })

export interface DemoDisk {
  /** A disk with made-up files. */
  readonly before: string
  /** The same disk after some files were removed and others added in place. */
  readonly after: string
}

/** Makes a small disk in two versions, in a second or so and without any other program. */
export async function makeDemoDisk(options: DemoDiskOptions): Promise<DemoDisk> {
  const { folder, signal } = options
  const layout = layOutDisk(options.diskBytes ?? DEMO_DISK_DEFAULTS.diskBytes)
  const { installed, removed, added } = chooseGeneratedContents(
    options.dataBytes ?? DEMO_DISK_DEFAULTS.dataBytes,
  )
  const disk = { before: join(folder, 'disk-before.img'), after: join(folder, 'disk-after.img') }
  const filesystem = new SyntheticFilesystem(layout.root)

  await mkdir(folder, { recursive: true })
  await createSparse(disk.before, layout.diskBytes)
  await using before = await open(disk.before, 'r+')
  await writePartitionTable(before, layout)
  await filesystem.add(before, installed, signal)

  await copySparse(disk.before, disk.after, signal)
  await using after = await open(disk.after, 'r+')
  await filesystem.remove(after, removed, signal)
  await filesystem.add(after, added, signal)
  return disk
}
