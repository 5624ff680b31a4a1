import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { mergeExtents } from '../common/merge-extents.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { clusterSectorsOf, readBootSector } from './boot-sector.ts'
import { readClusterBitmap } from './cluster-bitmap.ts'
import { ATTRIBUTE } from './file-record.ts'
import { walkFiles } from './file-walk.ts'
import { assertLogIsClean } from './log-file.ts'
import { MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'
import { MEMORY_FILES, memoryExtents } from './memory-files.ts'
import { assertMirror } from './mirror.ts'
import { assertNoShadowCopies } from './shadow-copies.ts'
import { readVolumeInformation } from './volume-information.ts'

/**
 * NTFS. Microsoft has not published its structures; the source is the documentation of the Linux-NTFS project, which each
 * part names by file or attribute.
 *
 * The bitmap of clusters has no checksum, so it is compared with what all files have.
 */
export const NTFS: FilesystemModule = { probe }

function probe(head: Fields): RecognisedFilesystem | undefined {
  if (head.length < 512 || !head.says(3, 'NTFS    ')) return undefined
  const sectorBytes = head.u16(11)
  const serial = Buffer.from(head.slice(72, 8)).reverse().toString('hex').toUpperCase()
  return {
    identity: {
      type: 'ntfs',
      label: undefined,
      uuid: serial,
      blockBytes: sectorBytes * clusterSectorsOf(head),
      sizeBytes: (head.u32(40) + head.u32(44) * 2 ** 32 + 1) * sectorBytes,
    },
    survey: (reader) => survey(reader, head),
  }
}

async function survey(reader: VolumeReader, head: Fields): Promise<Survey> {
  const geometry = await readBootSector(reader, head)
  const table = await MasterFileTable.open(reader, geometry)
  await assertMirror(table)
  const label = await readVolumeInformation(table)
  await assertLogIsClean(table)
  await assertNoShadowCopies(reader)
  await assertBootFile(table)
  const walk = await walkFiles(table, MEMORY_FILES)
  const memory = await memoryExtents(table, walk)
  const free = await readClusterBitmap(table, walk.claimed)
  return { notUsed: mergeExtents(free.extents(geometry.clusterBytes), memory), label }
}

/** The boot sector is the beginning of a file, so that its clusters are among those that files have. */
async function assertBootFile(table: MasterFileTable): Promise<void> {
  const content = await table.content(await table.record(SYSTEM_FILE.boot), ATTRIBUTE.data)
  ensure(
    content?.runs.runs[0]?.start === 0,
    'inconsistent',
    'the first cluster is not that of the boot sector',
  )
}
