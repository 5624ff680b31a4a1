import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findTool, runTool } from '../measure/tool.ts'
import type { ByteRange } from './disk-layout.ts'
import { copyData, createSparse } from './sparse-image.ts'

/** Makes the FAT filesystem of an EFI system partition, or leaves it empty without `mkfs.vfat`. */
export async function makeEsp(image: string, range: ByteRange, signal?: AbortSignal): Promise<void> {
  const mkfs = await findTool('mkfs.vfat')
  if (mkfs === undefined) return
  const work = await mkdtemp(join(tmpdir(), 'platter-esp-'))
  try {
    const filesystem = join(work, 'esp')
    await createSparse(filesystem, range.length)
    const { code, stderr } = await runTool(mkfs, ['--invariant', '-n', 'ESP', filesystem])
    if (code !== 0) throw new Error(`mkfs.vfat could not make the EFI system partition: ${stderr}`)
    await using source = await open(filesystem)
    await using target = await open(image, 'r+')
    await copyData(source, { offset: 0, length: range.length }, target, range.offset, signal)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
