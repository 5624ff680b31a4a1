import { PlatterError } from '@platter/core'

/**
 * Refuses a range that does not lie wholly within an object of `sizeBytes`.
 *
 * @throws ERR_STORE_IO
 */
export function assertRange(name: string, offset: number, length: number, sizeBytes: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
  if (valid && offset + length <= sizeBytes) return
  throw new PlatterError(
    'ERR_STORE_IO',
    `Object '${name}' has ${sizeBytes} bytes; ${length} bytes at ${offset} do not lie within it. It may be cut short.`,
    { object: name, offset, length, actual: sizeBytes },
  )
}

/**
 * Refuses an object larger than the caller is ready to hold.
 *
 * @throws ERR_LIMIT_EXCEEDED
 */
export function assertSize(name: string, sizeBytes: number, maxBytes: number | undefined): void {
  if (maxBytes === undefined || sizeBytes <= maxBytes) return
  throw new PlatterError(
    'ERR_LIMIT_EXCEEDED',
    `Object '${name}' has ${sizeBytes} bytes, more than the ${maxBytes} that are sensible for it; it is damaged or not ours.`,
    { object: name, expected: maxBytes, actual: sizeBytes },
  )
}
