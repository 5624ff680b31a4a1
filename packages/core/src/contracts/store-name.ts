import { PlatterError } from '../errors.ts'

/** Longest store name in bytes; leaves room for a prefix within the limits of common filesystems and buckets. */
export const MAX_STORE_NAME_BYTES = 240

const SEGMENT = /^[a-z0-9][a-z0-9._-]*$/

/** True for a relative name of lower-case ASCII segments, none of them starting with a dot. */
export function isStoreName(name: string): boolean {
  if (name.length === 0 || name.length > MAX_STORE_NAME_BYTES) return false
  return name.split('/').every((segment) => SEGMENT.test(segment))
}

/**
 * Refuses a name no store may use: absolute, with `..`, upper case, outside ASCII, empty or too long.
 *
 * @throws ERR_INVALID_NAME
 */
export function assertStoreName(name: string): void {
  if (!isStoreName(name)) {
    throw new PlatterError('ERR_INVALID_NAME', `'${name}' is not a valid object name.`, { object: name })
  }
}

/**
 * Refuses a list prefix that is neither '' nor a valid name with '/' behind it.
 *
 * @throws ERR_INVALID_NAME
 */
export function assertStorePrefix(prefix: string): void {
  if (prefix !== '' && !(prefix.endsWith('/') && isStoreName(prefix.slice(0, -1)))) {
    throw new PlatterError(
      'ERR_INVALID_NAME',
      `'${prefix}' is not a valid list prefix; it must end in '/'.`,
      {
        object: prefix,
      },
    )
  }
}
