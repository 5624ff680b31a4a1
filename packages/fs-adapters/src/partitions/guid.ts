/** Bytes of a GUID in the order of its text: the first three groups are stored little-endian (UEFI 2.10, appendix A). */
const TEXT_ORDER: readonly number[] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]

/** A GUID as text in small letters. */
export function guidText(bytes: Uint8Array, at: number): string {
  const hex = TEXT_ORDER.map((i) => (bytes[at + i] ?? 0).toString(16).padStart(2, '0')).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** The stored form of a random GUID of version 4 (RFC 4122, section 4.4), from 16 random bytes. */
export function randomGuid(random: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(random.subarray(0, 16))
  bytes[7] = (bytes[7]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}

/** What marks an entry as unused. */
export const NIL_GUID = '00000000-0000-0000-0000-000000000000'
