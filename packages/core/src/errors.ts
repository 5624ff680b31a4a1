/** Every code an error of Platter can carry. Codes are stable: programs may branch on them. */
export type ErrorCode =
  // the caller
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_LIMIT_EXCEEDED'
  | 'ERR_CLOSED'
  | 'ERR_INTERNAL'
  // stores
  | 'ERR_NOT_FOUND'
  | 'ERR_INVALID_NAME'
  | 'ERR_STORE_ACCESS'
  | 'ERR_STORE_IO'
  | 'ERR_STORE_FULL'
  | 'ERR_STORE_UNSUPPORTED'
  // repositories
  | 'ERR_REPOSITORY_NOT_FOUND'
  | 'ERR_REPOSITORY_EXISTS'
  | 'ERR_UNSUPPORTED_VERSION'
  | 'ERR_UNSUPPORTED_FEATURE'
  | 'ERR_CORRUPT_CONFIG'
  | 'ERR_CORRUPT_PACK'
  | 'ERR_CORRUPT_INDEX'
  | 'ERR_CORRUPT_NODE'
  | 'ERR_CORRUPT_BLOB'
  | 'ERR_CORRUPT_SNAPSHOT'
  | 'ERR_CORRUPT_RECORD'
  | 'ERR_CHUNK_MISSING'
  | 'ERR_DIGEST_MISMATCH'
  | 'ERR_SNAPSHOT_NOT_FOUND'
  | 'ERR_SNAPSHOT_AMBIGUOUS'
  | 'ERR_SNAPSHOT_DAMAGED'
  | 'ERR_SESSION_FENCED'
  | 'ERR_PRUNE_UNFINISHED'
  | 'ERR_WORKER_FAILED'
  // pins
  | 'ERR_ROLLBACK'
  | 'ERR_CORRUPT_PIN'
  | 'ERR_PIN_IO'
  // keys
  | 'ERR_KEY_REQUIRED'
  | 'ERR_NOT_ENCRYPTED'
  | 'ERR_WRONG_PASSPHRASE'
  | 'ERR_NO_KEY_SLOT'
  | 'ERR_CORRUPT_KEY_SLOT'
  | 'ERR_KEY_SLOT_PARAMETERS'
  | 'ERR_LAST_KEY_SLOT'
  // sources
  | 'ERR_SOURCE_NOT_FOUND'
  | 'ERR_SOURCE_ACCESS'
  | 'ERR_SOURCE_IS_DIRECTORY'
  | 'ERR_SOURCE_UNSUPPORTED'
  | 'ERR_SOURCE_READ'
  | 'ERR_SOURCE_CHANGED'
  // targets
  | 'ERR_TARGET_EXISTS'
  | 'ERR_TARGET_NOT_FOUND'
  | 'ERR_TARGET_ACCESS'
  | 'ERR_TARGET_UNSUPPORTED'
  | 'ERR_TARGET_TOO_SMALL'
  | 'ERR_TARGET_MOUNTED'
  | 'ERR_TARGET_FULL'
  | 'ERR_TARGET_WRITE'
  // journals of restores
  | 'ERR_JOURNAL_INVALID'
  | 'ERR_JOURNAL_IO'
  // disks
  | 'ERR_PARTITION_TABLE'
  // servers
  | 'ERR_LISTEN'
  // overlays
  | 'ERR_OVERLAY_INVALID'
  | 'ERR_OVERLAY_IN_USE'

/** What an error concerns: the fields beside `code` and `message`. All plain data, so an error crosses threads whole. */
export interface ErrorDetails {
  /** Name of the store object concerned. */
  readonly object?: string
  /** Path of the file or device concerned. */
  readonly path?: string
  /** Byte offset in the image, file or object concerned. */
  readonly offset?: number
  /** Length in bytes of the range concerned. */
  readonly length?: number
  readonly expected?: string | number
  readonly actual?: string | number
  /** Error code of the operating system, such as `ENOSPC`. */
  readonly systemCode?: string
  /** Names of all store objects concerned, where there are several. */
  readonly objects?: readonly string[]
  /** Ids that fit an ambiguous reference. */
  readonly candidates?: readonly string[]
  readonly cause?: unknown
}

/**
 * The one error class of Platter. `code` says what kind of failure it is, the message says what happened, to
 * which object and what can be done; the detail fields carry the same as data.
 */
export class PlatterError extends Error {
  override readonly name = 'PlatterError'
  readonly code: ErrorCode
  readonly details: Omit<ErrorDetails, 'cause'>

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const { cause, ...rest } = details
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = rest
  }

  /** True when `error` is a `PlatterError`, of the given code where one is given. */
  static is(error: unknown, code?: ErrorCode): error is PlatterError {
    return error instanceof PlatterError && (code === undefined || error.code === code)
  }
}

/** Plain form of an error for crossing a thread border. */
export interface TransportedError {
  readonly code: ErrorCode | undefined
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly details: Omit<ErrorDetails, 'cause'>
}

/** Turns any thrown value into plain data that `postMessage` carries. */
export function toTransported(error: unknown): TransportedError {
  if (error instanceof PlatterError) {
    return {
      code: error.code,
      name: error.name,
      message: error.message,
      stack: error.stack,
      details: error.details,
    }
  }
  const e = error instanceof Error ? error : new Error(String(error))
  return { code: undefined, name: e.name, message: e.message, stack: e.stack, details: {} }
}

/** Rebuilds an error that another thread sent with {@link toTransported}. */
export function fromTransported(plain: TransportedError): Error {
  if (plain.code === undefined) {
    return new PlatterError('ERR_INTERNAL', `A worker failed unexpectedly: ${plain.message}`, {
      cause: plain.stack ?? plain.message,
    })
  }
  return new PlatterError(plain.code, plain.message, plain.details)
}

/**
 * Checks an assumption of our own code; never used on the world's input.
 *
 * @throws ERR_INTERNAL when `condition` is false.
 */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new PlatterError('ERR_INTERNAL', `This is a bug in Platter: ${what}.`)
}

/** Code of the operating system in a Node error, such as `ENOSPC`, or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
