import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import type { FilesystemIdentity, FilesystemType } from '../filesystem-map.ts'
import { surveyGroups } from './block-bitmaps.ts'
import { COMPAT, INCOMPAT, RO_COMPAT } from './features.ts'
import { readGroupDescriptors } from './group-descriptors.ts'
import { ExtLayout } from './layout.ts'
import { assertMultipleMountProtection } from './multiple-mount-protection.ts'
import { parseSuperblock, SUPERBLOCK_AT, SUPERBLOCK_BYTES } from './superblock.ts'

const MAGIC = 0xef53
/** 256 TiB in groups of 128 MiB, which blocks of 4 KiB make; 16 TiB in groups of 8 MiB, which those of 1 KiB make. */
const MAX_GROUPS = 2 ** 21

/**
 * ext2, ext3, ext4 and their external journals. Source: "ext4 Data Structures and Algorithms" of the kernel's
 * documentation, which each part names by section.
 */
export const EXT: FilesystemModule = { probe }

function probe(head: Fields): RecognisedFilesystem | undefined {
  if (head.length < SUPERBLOCK_AT + SUPERBLOCK_BYTES) return undefined
  const fields = head.fields(SUPERBLOCK_AT, SUPERBLOCK_BYTES)
  if (fields.u16(56) !== MAGIC || fields.u32(24) > 6) return undefined
  const identity = identify(fields)
  return { identity, survey: (reader) => survey(reader, fields, identity) }
}

function identify(fields: Fields): FilesystemIdentity {
  const blockBytes = 1024 << fields.u32(24)
  const isLarge = (fields.u32(96) & INCOMPAT.bits64) !== 0
  return {
    type: typeOf(fields),
    label: fields.text(120, 16),
    uuid: fields.uuid(104),
    blockBytes,
    sizeBytes: (fields.u32(4) + (isLarge ? fields.u32(336) * 2 ** 32 : 0)) * blockBytes,
  }
}

/** The name people use: what a kernel that knew no more than this would need. */
function typeOf(fields: Fields): FilesystemType {
  const [compat, incompat, roCompat] = [fields.u32(92), fields.u32(96), fields.u32(100)]
  if (incompat & INCOMPAT.journalDevice) return 'ext-journal'
  const ofExt3 = INCOMPAT.fileType | INCOMPAT.recover | INCOMPAT.metaGroups
  const roOfExt3 = RO_COMPAT.sparseSuper | RO_COMPAT.largeFiles | RO_COMPAT.directoryTrees
  if ((incompat & ~ofExt3) !== 0 || (roCompat & ~roOfExt3) !== 0) return 'ext4'
  return compat & COMPAT.journal ? 'ext3' : 'ext2'
}

async function survey(reader: VolumeReader, fields: Fields, identity: FilesystemIdentity): Promise<Survey> {
  if (identity.type === 'ext-journal') {
    throw new SurveyError('opaque', 'it is the journal of another filesystem')
  }
  const superblock = parseSuperblock(fields)
  const { blockCount, blockBytes, incompat } = superblock
  ensure(
    blockCount * blockBytes <= reader.sizeBytes,
    'out-of-range',
    `the filesystem has ${blockCount * blockBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  if (incompat & INCOMPAT.multipleMountProtection) await assertMultipleMountProtection(reader, superblock)
  const layout = new ExtLayout(superblock)
  assertRoomForGroups(layout)
  const descriptors = await readGroupDescriptors(reader, layout)
  const free = await surveyGroups(reader, layout, descriptors)
  return { notUsed: free.extents(blockBytes) }
}

/** Before room is made for what is said about groups. */
function assertRoomForGroups({ superblock, descriptorBlockCount }: ExtLayout): void {
  const { groupCount, blockCount } = superblock
  ensure(
    descriptorBlockCount < blockCount,
    'out-of-range',
    'the descriptors of groups do not fit into the filesystem',
  )
  ensure(groupCount <= MAX_GROUPS, 'too-costly', `it has ${groupCount} groups, more than ${MAX_GROUPS}`)
}
