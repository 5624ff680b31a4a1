import { filesAfterChange, inOtherOrder } from './disk-contents.ts'
import type { DiskJob } from './disk-job.ts'
import { makeEmptyDisk } from './disk-job.ts'
import type { Ext4Tools } from './ext4.ts'
import { changeExt4, makeExt4 } from './ext4.ts'
import { copySparse } from './sparse-image.ts'

/** Makes A, B and C with real ext4 filesystems. */
export async function makeExt4Disks(tools: Ext4Tools, job: DiskJob): Promise<void> {
  const { contents, paths, progress, signal } = job
  const range = job.layout.root
  const { installed, removed, added } = contents

  progress('A: installing files')
  const a = { image: paths.A, range }
  await makeEmptyDisk(paths.A, job)
  await makeExt4(tools, a, FIRST, signal)
  await changeExt4(tools, a, { had: [], removed: [], added: installed }, signal)

  progress('B: changing files in place')
  await copySparse(paths.A, paths.B, signal)
  await changeExt4(tools, { image: paths.B, range }, { had: installed, removed, added }, signal)

  progress('C: installing the files of B afresh')
  const c = { image: paths.C, range }
  await makeEmptyDisk(paths.C, job)
  await makeExt4(tools, c, SECOND, signal)
  const reinstalled = inOtherOrder(filesAfterChange(contents))
  await changeExt4(tools, c, { had: [], removed: [], added: reinstalled }, signal)
}

const FIRST = {
  uuid: '0b6f1c5e-37a4-4d5c-8c7a-52f0e6d1a901',
  hashSeed: '0b6f1c5e-37a4-4d5c-8c7a-52f0e6d1a902',
}
const SECOND = {
  uuid: 'd94a7e20-6e1b-4f93-a2d8-1f3b9c84c701',
  hashSeed: 'd94a7e20-6e1b-4f93-a2d8-1f3b9c84c702',
}
