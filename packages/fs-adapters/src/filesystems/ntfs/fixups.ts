import { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'

/** Whatever sectors the device has. */
const STRIDE_BYTES = 512

/**
 * Puts the bytes back that were replaced by a number when a structure was written, to tell later whether all its sectors
 * were. Returns a copy. Source: "Fixup" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError when a sector has another number than the others.
 */
export function withFixups(bytes: Uint8Array, what: string): Fields {
  const fields = new Fields(bytes.slice())
  const [offset, count] = [fields.u16(4), fields.u16(6)]
  const isPossible =
    count === bytes.length / STRIDE_BYTES + 1 && offset % 2 === 0 && offset + count * 2 <= STRIDE_BYTES - 2
  ensure(isPossible, 'inconsistent', `${what} has its fixups where they cannot be`)
  const [low, high] = [fields.u8(offset), fields.u8(offset + 1)]
  for (let i = 1; i < count; i++) {
    const at = i * STRIDE_BYTES - 2
    const isRight = fields.u8(at) === low && fields.u8(at + 1) === high
    ensure(isRight, 'bad-checksum', `the sectors of ${what} were not written together`)
    fields.bytes[at] = fields.u8(offset + 2 * i)
    fields.bytes[at + 1] = fields.u8(offset + 2 * i + 1)
  }
  return fields
}
