import { ensure } from '../common/survey-error.ts'
import { ATTRIBUTE } from './file-record.ts'
import { withFixups } from './fixups.ts'
import { type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'

/** The mirror has at least the first four records: the table, the mirror, the log and the volume. */
const MIRRORED_RECORDS = 4

/**
 * Compares the first records of the master file table with their copies. Source: "$MFTMirr" of the documentation of
 * Linux-NTFS.
 *
 * @throws SurveyError when they differ.
 */
export async function assertMirror(table: MasterFileTable): Promise<void> {
  const { clusterBytes, recordBytes, mirrorCluster } = table.geometry
  const file = await table.record(SYSTEM_FILE.mirror)
  const content = await table.content(file, ATTRIBUTE.data)
  const isThere = content?.runs.runs[0]?.start === mirrorCluster
  ensure(
    isThere,
    'inconsistent',
    'the mirror of the master file table begins elsewhere than the boot sector says',
  )
  for (let number = 0; number < MIRRORED_RECORDS; number++) {
    const offset = mirrorCluster * clusterBytes + number * recordBytes
    const original = withFixups(await table.readRecords(number, 1), `record ${number}`)
    const copy = withFixups(await table.reader.bytes(offset, recordBytes), `the copy of record ${number}`)
    // The two are written one after the other, so that the numbers of their fixups may differ.
    const [from, to] = [original.u16(20), original.u32(24)]
    const isSame =
      copy.u16(20) === from &&
      copy.u32(24) === to &&
      Buffer.from(original.slice(from, to - from)).equals(copy.slice(from, to - from))
    ensure(isSame, 'inconsistent', `record ${number} of the master file table and its copy differ`)
  }
}
