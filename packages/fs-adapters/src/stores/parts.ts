/** Total length of `parts` in bytes. */
export function partsBytes(parts: readonly Uint8Array[]): number {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

/** Copies `parts`, one after the other, into memory of their own. */
export function concatParts(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(partsBytes(parts))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** What is left of `parts` after the first `writtenBytes`, as after a short write. */
export function partsAfter(parts: readonly Uint8Array[], writtenBytes: number): Uint8Array[] {
  const left: Uint8Array[] = []
  let skip = writtenBytes
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length
    else {
      left.push(skip === 0 ? part : part.subarray(skip))
      skip = 0
    }
  }
  return left
}
