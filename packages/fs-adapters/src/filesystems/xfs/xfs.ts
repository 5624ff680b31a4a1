import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { surveyGroup } from './allocation-group.ts'
import { assertCleanLog } from './log.ts'
import {
  parseXfsSuperblock,
  SUPERBLOCK_BYTES,
  XFS_MAGIC,
  type XfsSuperblock,
  xfsSectorBytes,
} from './superblock.ts'

/** XFS, versions 4 and 5. Each part names its sources. */
export const XFS: FilesystemModule = { probe }

function probe(head: Fields): RecognisedFilesystem | undefined {
  if (!head.says(0, XFS_MAGIC) || head.length < SUPERBLOCK_BYTES) return undefined
  const fields = head.fields(0, SUPERBLOCK_BYTES, 'big')
  return {
    identity: {
      type: 'xfs',
      label: fields.text(108, 12),
      uuid: fields.uuid(32),
      blockBytes: fields.u32(4),
      // Unchecked, so it may be more than a number can say.
      sizeBytes: (fields.u32(8) * 2 ** 32 + fields.u32(12)) * fields.u32(4),
    },
    survey: (reader) => survey(reader, fields),
  }
}

async function survey(reader: VolumeReader, fields: Fields): Promise<Survey> {
  const superblock = parseXfsSuperblock(await reader.fields(0, xfsSectorBytes(fields), 'big'))
  const { blockCount, blockBytes } = superblock
  ensure(
    blockCount * blockBytes <= reader.sizeBytes,
    'out-of-range',
    `the filesystem has ${blockCount * blockBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  await assertCleanLog(reader, superblock)
  return { notUsed: (await surveyGroups(reader, superblock)).extents(blockBytes) }
}

async function surveyGroups(reader: VolumeReader, superblock: XfsSuperblock) {
  const free = new FreeBlocksBuilder(superblock.blockCount)
  const sums = { freeBlocks: 0, inodes: 0, freeInodes: 0 }
  for (let group = 0; group < superblock.groupCount; group++) {
    const counts = await surveyGroup(reader, superblock, group, free)
    sums.freeBlocks += counts.freeBlocks
    sums.inodes += counts.inodes
    sums.freeInodes += counts.freeInodes
  }
  const compare = (name: string, counted: number, said: number) =>
    ensure(
      counted === said,
      'inconsistent',
      `its groups have ${counted} ${name}, the superblock says ${said}`,
    )
  compare('free blocks', sums.freeBlocks, superblock.freeBlockCount)
  compare('inodes', sums.inodes, superblock.inodeCount)
  compare('free inodes', sums.freeInodes, superblock.freeInodeCount)
  return free.finish()
}
