const decoder = new TextDecoder('utf-16le')

/** Text of UTF-16 in little endian order; undefined when it is empty. */
export function utf16(bytes: Uint8Array): string | undefined {
  return decoder.decode(bytes) || undefined
}
