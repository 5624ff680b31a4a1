import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { utf16 } from '../common/utf16.ts'
import { type FileReference, referenceAt } from './file-record.ts'

/** Windows takes no longer ones. */
export const MAX_LIST_BYTES: number = 256 * 1024

/** Says which record has an attribute, or a part of one. */
export interface ListEntry {
  readonly type: number
  readonly name: string
  readonly firstCluster: number
  readonly record: FileReference
}

/** The parts of all attributes of a file. Source: "$ATTRIBUTE_LIST" of the documentation of Linux-NTFS. */
export function parseAttributeList(list: Fields): ListEntry[] {
  const entries: ListEntry[] = []
  for (let at = 0; at < list.length; ) {
    const length = list.u16(at + 4)
    ensure(length >= 26 && length % 8 === 0, 'inconsistent', 'a list of attributes is damaged')
    const entry = list.fields(at, length)
    const nameLength = entry.u8(6)
    entries.push({
      type: entry.u32(0),
      name: nameLength === 0 ? '' : (utf16(entry.slice(entry.u8(7), nameLength * 2)) ?? ''),
      firstCluster: entry.u64(8),
      record: referenceAt(entry, 16),
    })
    at += length
  }
  return entries
}
