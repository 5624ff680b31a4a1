import { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'

const HEADER_AT = 0x1e00
const IDENTIFIER = '\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52'
const BLOCK_BYTES = 16 * 1024
const BLOCK_HEADER_BYTES = 128
const ENTRY_BYTES = 128
const KNOWN_VERSIONS = [1, 2]
const CATALOG = 2
/** Kinds of entries that stand for nothing. */
const EMPTY = [0, 1]

/**
 * Makes sure that there are no shadow copies (restore points, previous versions). They consist of what was overwritten
 * since, and of the volume as it is: also of clusters that are free by now. Windows would read zeros there, and not notice.
 * Source: "Volume Shadow Snapshot (VSS) format" of libvshadow.
 *
 * @throws SurveyError `unknown-feature` when there are some.
 */
export async function assertNoShadowCopies(reader: VolumeReader): Promise<void> {
  const header = await reader.fields(HEADER_AT, 128)
  if (!header.says(0, IDENTIFIER)) return
  ensure(
    KNOWN_VERSIONS.includes(header.u32(16)),
    'unknown-feature',
    'it has shadow copies of an unknown kind',
  )
  const isElsewhere =
    header.uuid(80) !== undefined && header.uuid(64) !== undefined && header.uuid(80) !== header.uuid(64)
  ensure(!isElsewhere, 'unknown-feature', 'it has shadow copies on another volume')
  // Blocks that lead in a circle end with the budget of the reader.
  for (let at = header.u64(48); at !== 0; ) {
    const block = new Fields(await reader.bytes(at, BLOCK_BYTES))
    const isBlock = block.says(0, IDENTIFIER) && block.u32(20) === CATALOG && block.u64(32) === at
    ensure(isBlock, 'inconsistent', 'the catalog of shadow copies is damaged')
    for (let entry = BLOCK_HEADER_BYTES; entry < BLOCK_BYTES; entry += ENTRY_BYTES) {
      const isEmpty = EMPTY.includes(block.u32(entry))
      ensure(isEmpty, 'unknown-feature', 'it has shadow copies, which need what is free by now')
    }
    at = block.u64(40)
  }
}
