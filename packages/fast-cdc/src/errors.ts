/** An argument that cannot be used as it stands; the message says which one, and what would do. */
export class InvalidArgumentError extends TypeError {
  readonly code = 'ERR_INVALID_ARGUMENT' as const
  override readonly name = 'InvalidArgumentError'
}

/** Throws {@link InvalidArgumentError} unless `value` is an integer from `min` to `max`, and a multiple of `step`. */
export function assertInteger(name: string, value: number, min: number, max: number, step = 1): void {
  if (Number.isInteger(value) && value >= min && value <= max && value % step === 0) return
  const multiple = step === 1 ? 'an integer' : `a multiple of ${step}`
  throw new InvalidArgumentError(`${name} must be ${multiple} from ${min} to ${max}, but is ${String(value)}`)
}

/** Throws {@link InvalidArgumentError} unless `value` is a Uint8Array, of `lengthBytes` where that is given. */
export function assertBytes(name: string, value: Uint8Array, lengthBytes?: number): void {
  if (value instanceof Uint8Array && (lengthBytes === undefined || value.length === lengthBytes)) return
  const actual = value instanceof Uint8Array ? `has ${value.length} bytes` : `is ${typeof value}`
  const expected = lengthBytes === undefined ? 'a Uint8Array' : `a Uint8Array of ${lengthBytes} bytes`
  throw new InvalidArgumentError(`${name} must be ${expected}, but ${actual}`)
}
