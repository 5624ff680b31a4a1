import type { Fields } from '../common/fields.ts'
import { isPowerOfTwo } from '../common/fields.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import { ATTRIBUTE } from './file-record.ts'
import { withFixups } from './fixups.ts'
import { assertPlain, type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'

/** Of a log that was emptied, so much is looked at. */
const HEAD_BYTES = 64 * 1024
const NO_CLIENT = 0xffff
const VOLUME_IS_CLEAN = 0x0002

interface RestartPage {
  readonly isClean: boolean
  /** Log sequence number, as two halves: it may be larger than numbers are exact. */
  readonly sequence: readonly [high: number, low: number]
}

/**
 * Looks at whether the log has work left: its two restart pages say so, or it is empty, as ntfs-3g leaves it. Source:
 * "$LogFile" of the documentation of Linux-NTFS, and `fs/ntfs/logfile.h` of Linux up to 6.8.
 *
 * @throws SurveyError `not-clean`
 */
export async function assertLogIsClean(table: MasterFileTable): Promise<void> {
  const file = await table.record(SYSTEM_FILE.logFile)
  const content = await table.content(file, ATTRIBUTE.data)
  if (content === undefined) throw new SurveyError('inconsistent', 'it has no log')
  assertPlain(content, 'the log')
  const length = Math.min(HEAD_BYTES, content.sizes.data)
  const head = await content.runs.read(table.reader, 0, length)
  if (length > 0 && head.every((byte) => byte === 0xff)) return
  const pageBytes = pageBytesOf(head)
  const pages = [0, pageBytes].map((at) => parseRestartPage(head.subarray(at, at + pageBytes), pageBytes))
  const [first, second] = pages as [RestartPage, RestartPage]
  const order = first.sequence[0] - second.sequence[0] || first.sequence[1] - second.sequence[1]
  // The newer one tells the state. They are the same when all was written.
  const isClean = order === 0 ? first.isClean && second.isClean : (order > 0 ? first : second).isClean
  ensure(isClean, 'not-clean', 'its log is to be replayed: it is mounted or was not unmounted')
}

function pageBytesOf(head: Uint8Array): number {
  const pageBytes = head.length < 20 ? 0 : new DataView(head.buffer, head.byteOffset).getUint32(16, true)
  const isPossible = isPowerOfTwo(pageBytes, 512, HEAD_BYTES / 2) && pageBytes * 2 <= head.length
  ensure(isPossible, 'not-clean', 'its log does not begin as it must')
  return pageBytes
}

function parseRestartPage(bytes: Uint8Array, pageBytes: number): RestartPage {
  const magic = Buffer.from(bytes.subarray(0, 4)).toString('latin1')
  ensure(
    magic === 'RSTR',
    'not-clean',
    'its log has no restart page where it must, or was changed by a check',
  )
  const page = withFixups(bytes, 'a restart page of the log')
  ensure(page.u32(16) === pageBytes, 'inconsistent', 'the restart pages of the log differ in size')
  assertVersion(page)
  const area = page.u16(24)
  return {
    isClean: page.u16(area + 12) === NO_CLIENT || (page.u16(area + 14) & VOLUME_IS_CLEAN) !== 0,
    sequence: [page.u32(area + 4), page.u32(area)],
  }
}

function assertVersion(page: Fields): void {
  const [minor, major] = [page.u16(26), page.u16(28)]
  // Windows sets the version back when it unmounts.
  ensure(
    major !== 2,
    'not-clean',
    'its log is of version 2, which Windows has while it is mounted, or sleeps, or when it was shut down for a fast start',
  )
  ensure(major === 1 && minor === 1, 'unknown-feature', `a log of version ${major}.${minor} is not known`)
}
