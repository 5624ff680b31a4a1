import { crc32c } from '../common/crc32c.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { RO_COMPAT } from './features.ts'
import type { ExtSuperblock } from './superblock.ts'

const MAGIC = 0x004d4d50
const SEQUENCE_CLEAN = 0xff4d4d50
const STRUCTURE_BYTES = 1024

/**
 * Multiple mount protection is a block that who mounts the filesystem writes every few seconds, and a mark in it when it
 * was unmounted. Source: "Multiple Mount Protection" of the kernel's ext4 documentation.
 *
 * @throws SurveyError when the filesystem is in use, or the block is not what it must be.
 */
export async function assertMultipleMountProtection(
  reader: VolumeReader,
  superblock: ExtSuperblock,
): Promise<void> {
  const { mmpBlock, firstDataBlock, blockCount, blockBytes, roCompat, checksumSeed } = superblock
  ensure(
    mmpBlock > firstDataBlock && mmpBlock < blockCount,
    'out-of-range',
    `the block of multiple mount protection, ${mmpBlock}, is out of range`,
  )
  const fields = await reader.fields(mmpBlock * blockBytes, STRUCTURE_BYTES)
  ensure(fields.u32(0) === MAGIC, 'inconsistent', 'the block of multiple mount protection is damaged')
  if (roCompat & RO_COMPAT.metadataChecksums) {
    const actual = crc32c(checksumSeed, fields.slice(0, STRUCTURE_BYTES - 4))
    ensure(
      fields.u32(STRUCTURE_BYTES - 4) === actual,
      'bad-checksum',
      'the checksum of multiple mount protection is wrong',
    )
  }
  ensure(fields.u32(4) === SEQUENCE_CLEAN, 'not-clean', 'multiple mount protection says that it is in use')
}
