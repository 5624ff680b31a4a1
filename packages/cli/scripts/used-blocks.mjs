// Measures how much a backup reads of a disk whose free space is full of old data: node packages/cli/scripts/used-blocks.mjs
// [--folder DIR] [--disk-mib N] [--files-mib N]. Takes room for the disk, its files twice, in the folder.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureUsedBlocks } from '../dist-test/disks/used-blocks.js'

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: tmpdir() },
    'disk-mib': { type: 'string', default: '8192' },
    'files-mib': { type: 'string', default: '3000' },
  },
})
const folder = await mkdtemp(join(values.folder, 'platter-used-'))
try {
  const [disk, files] = [values['disk-mib'], values['files-mib']].map((mib) => Number(mib) * 2 ** 20)
  const figures = await measureUsedBlocks(folder, disk, files)
  console.log(JSON.stringify(figures))
  if (figures.ratio > 1.02) process.exitCode = 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
