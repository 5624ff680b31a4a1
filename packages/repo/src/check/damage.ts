/** Errors that say something of the repository; all others say that it could not be looked at. */
export const DAMAGE: ReadonlySet<string> = new Set([
  'ERR_CORRUPT_SNAPSHOT',
  'ERR_CORRUPT_INDEX',
  'ERR_CORRUPT_PACK',
  'ERR_CORRUPT_NODE',
  'ERR_CORRUPT_BLOB',
  'ERR_CORRUPT_RECORD',
  'ERR_CORRUPT_KEY_SLOT',
  'ERR_KEY_SLOT_PARAMETERS',
  'ERR_CHUNK_MISSING',
  'ERR_UNSUPPORTED_VERSION',
  'ERR_UNSUPPORTED_FEATURE',
  'ERR_LIMIT_EXCEEDED',
  // An object that was listed a moment ago, or that something names, and that is gone.
  'ERR_NOT_FOUND',
])
