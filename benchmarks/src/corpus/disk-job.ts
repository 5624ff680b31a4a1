import { open } from 'node:fs/promises'
import type { ImageName } from './corpus-manifest.ts'
import type { DiskContents } from './disk-contents.ts'
import type { DiskLayout } from './disk-layout.ts'
import { writePartitionTable } from './disk-layout.ts'
import { makeEsp } from './esp.ts'
import { createSparse } from './sparse-image.ts'

/** Everything needed to make the three versions of a disk. */
export interface DiskJob {
  readonly layout: DiskLayout
  readonly contents: DiskContents
  readonly paths: Readonly<Record<ImageName, string>>
  readonly progress: (message: string) => void
  readonly signal: AbortSignal | undefined
}

/** Makes a sparse image with its partition table and EFI system partition. */
export async function makeEmptyDisk(path: string, job: DiskJob): Promise<void> {
  await createSparse(path, job.layout.diskBytes)
  await using image = await open(path, 'r+')
  await writePartitionTable(image, job.layout)
  await makeEsp(path, job.layout.esp, job.signal)
}
