import { type ErrorCode, PlatterError } from '@platter/core'

/** The error `promise` rejects with; throws unless it is a `PlatterError` of that code. */
export async function rejection(promise: Promise<unknown>, code: ErrorCode): Promise<PlatterError> {
  const outcome: unknown = await promise.then(
    (value) => new Error(`expected ${code}, but it succeeded with ${String(value)}`),
    (error: unknown) => error,
  )
  if (PlatterError.is(outcome, code)) return outcome
  throw new Error(`expected ${code}, got ${String(outcome)}`, { cause: outcome })
}

/** Bytes that differ from place to place. */
export function pattern(lengthBytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes)
  for (let i = 0; i < lengthBytes; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + seed * 13) & 0xff
  return bytes
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
