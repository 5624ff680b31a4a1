// Maps of filesystems: a small volume made of what the input says, its checksums and copies right or not.
import { probeFilesystem } from '@platter/fs-adapters'
import { sound } from '../target.ts'

/** More than any of these volumes may cost. */
const MAX_READ_BYTES = 64 * 2 ** 20

/** Finds out what a volume uses. All ranges of `own`, pairs of offset and end, must be among it. */
export async function surveyed(
  bytes: Uint8Array,
  own: readonly (readonly [number, number])[],
): Promise<string> {
  let read = 0
  const volume = {
    sizeBytes: bytes.length,
    async read(offset: number, into: Uint8Array): Promise<number> {
      sound(offset >= 0 && offset + into.length <= bytes.length, 'a read leaves the volume')
      read += into.length
      into.set(bytes.subarray(offset, offset + into.length))
      return into.length
    },
  }
  const map = await probeFilesystem(volume, { maxReadBytes: MAX_READ_BYTES })
  sound(read <= MAX_READ_BYTES + bytes.length, 'it reads more than it may')
  let end = 0
  let before = ''
  for (const { offset, length, use } of map.extents()) {
    sound(offset === end && length > 0 && use !== before, 'extents are not in order')
    end = offset + length
    before = use
    if (use === 'used') continue
    sound(map.state === 'used-map', 'something is left out without a map')
    for (const [from, to] of own) sound(to <= offset || from >= end, `byte ${from} is needed and left out`)
  }
  sound(end === bytes.length, 'extents do not end with the volume')
  return map.problem?.code ?? map.state
}

/** Reads an input piece by piece; what is missing is nothing. */
export function pieces(input: Uint8Array): (length: number) => Uint8Array {
  let at = 0
  return (length) => {
    const piece = input.subarray(at, at + length)
    at += length
    return piece
  }
}
