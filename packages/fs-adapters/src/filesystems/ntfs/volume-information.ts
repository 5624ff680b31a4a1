import { ensure, hex, SurveyError } from '../common/survey-error.ts'
import { utf16 } from '../common/utf16.ts'
import { ATTRIBUTE } from './file-record.ts'
import { type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'

/** Of Windows NT 4, 2000, and XP and everything since. */
const KNOWN_VERSIONS = ['1.2', '3.0', '3.1']

const DIRTY = 0x0001
/** Work that Windows does when it mounts it next, or a check that is under way. */
const UNFINISHED = 0x0002 | 0x0004 | 0x0010 | 0x0020 | 0x4000 | 0x8000
/** Windows NT 4 has mounted it since. */
const HARMLESS = 0x0008

/**
 * Looks at what the file $Volume says about the state of the volume, and returns its label. Source: "$VOLUME_INFORMATION"
 * and "$VOLUME_NAME" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError when its version is not known, or work is left for its driver.
 */
export async function readVolumeInformation(table: MasterFileTable): Promise<string | undefined> {
  const { attributes } = await table.record(SYSTEM_FILE.volume)
  const residentValue = (type: number) => attributes.find((attribute) => attribute.type === type)?.value
  const information = residentValue(ATTRIBUTE.volumeInformation)
  if (information === undefined) throw new SurveyError('inconsistent', 'nothing says what version it is of')
  const version = `${information.u8(8)}.${information.u8(9)}`
  ensure(KNOWN_VERSIONS.includes(version), 'unknown-feature', `version ${version} is not known`)
  const flags = information.u16(10)
  ensure((flags & DIRTY) === 0, 'not-clean', 'it is marked as to be checked')
  ensure((flags & UNFINISHED) === 0, 'not-clean', `its flags ${hex(flags)} say that work is left`)
  const unknown = flags & ~HARMLESS
  ensure(unknown === 0, 'unknown-feature', `it has unknown flags ${hex(unknown)}`)
  const label = residentValue(ATTRIBUTE.volumeName)
  return label && utf16(label.bytes)
}
