import { open } from 'node:fs/promises'
import { filesAfterChange, inOtherOrder } from './disk-contents.ts'
import type { DiskJob } from './disk-job.ts'
import { makeEmptyDisk } from './disk-job.ts'
import { copySparse } from './sparse-image.ts'
import { SyntheticFilesystem } from './synthetic-filesystem.ts'

/** Makes A, B and C with a stand-in for a filesystem, for which no other program is needed. */
export async function makeSyntheticDisks(job: DiskJob): Promise<void> {
  const { contents, layout, paths, progress, signal } = job
  const { installed, removed, added } = contents

  progress('A: installing files')
  await makeEmptyDisk(paths.A, job)
  const first = new SyntheticFilesystem(layout.root)
  await using a = await open(paths.A, 'r+')
  await first.add(a, installed, signal)

  progress('B: changing files in place')
  await copySparse(paths.A, paths.B, signal)
  await using b = await open(paths.B, 'r+')
  await first.remove(b, removed, signal)
  await first.add(b, added, signal)

  progress('C: installing the files of B afresh')
  await makeEmptyDisk(paths.C, job)
  await using c = await open(paths.C, 'r+')
  await new SyntheticFilesystem(layout.root).add(c, inOtherOrder(filesAfterChange(contents)), signal)
}
