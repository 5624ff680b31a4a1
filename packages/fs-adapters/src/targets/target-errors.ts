import { type ErrorCode, PlatterError, systemCodeOf } from '@platter/core'

/** The error for a target that could not be opened. Errors of Platter and aborts pass unchanged. */
export function targetOpenError(error: unknown, path: string): unknown {
  if (error instanceof PlatterError) return error
  const systemCode = systemCodeOf(error)
  if (systemCode === undefined || systemCode.startsWith('ERR_') || systemCode === 'ABORT_ERR') return error
  const [code, what] = openFailure(systemCode)
  return new PlatterError(code, `Could not open '${path}' for writing: ${what} (${systemCode}).`, {
    path,
    systemCode,
    cause: error,
  })
}

function openFailure(systemCode: string): [ErrorCode, string] {
  switch (systemCode) {
    case 'ENOENT':
    case 'ENOTDIR':
      return ['ERR_TARGET_NOT_FOUND', 'the folder it should stand in does not exist']
    case 'ENXIO':
    case 'ENODEV':
    case 'ENOMEDIUM':
      return ['ERR_TARGET_NOT_FOUND', 'no device or no medium is there']
    case 'EACCES':
    case 'EPERM':
      return ['ERR_TARGET_ACCESS', 'permission denied; block devices usually need root or the group "disk"']
    case 'EROFS':
      return ['ERR_TARGET_ACCESS', 'it is read-only']
    case 'EISDIR':
      return ['ERR_TARGET_UNSUPPORTED', 'it is a folder; name a file in it']
    case 'ENOSPC':
    case 'EDQUOT':
      return ['ERR_TARGET_FULL', 'the file system or the quota is full']
    default:
      return ['ERR_TARGET_WRITE', 'the system refused']
  }
}

/**
 * The error for a target that failed to take bytes, or to give them back, at `offset`. Errors of Platter pass
 * unchanged.
 */
export function targetError(error: unknown, action: string, label: string, offset?: number): unknown {
  if (error instanceof PlatterError) return error
  const systemCode = systemCodeOf(error)
  const isFull = systemCode === 'ENOSPC' || systemCode === 'EDQUOT'
  const reason = systemCode ?? (error instanceof Error ? error.message : String(error))
  const where = offset === undefined ? '' : ` at byte ${offset}`
  const advice = isFull ? ' Free some space there, or choose another target.' : ''
  return new PlatterError(
    isFull ? 'ERR_TARGET_FULL' : 'ERR_TARGET_WRITE',
    `Could not ${action} '${label}'${where}: ${reason}.${advice}`,
    {
      path: label,
      ...(offset === undefined ? {} : { offset }),
      ...(systemCode === undefined ? {} : { systemCode }),
      cause: error,
    },
  )
}

/** The error for an image that does not fit. */
export function targetTooSmall(
  label: string,
  imageBytes: number,
  capacityBytes: number | undefined,
): PlatterError {
  const capacity = capacityBytes === undefined ? 'less than that' : `${capacityBytes} bytes`
  return new PlatterError(
    'ERR_TARGET_TOO_SMALL',
    `The image of ${imageBytes} bytes does not fit on '${label}', which holds ${capacity}. Nothing was changed.`,
    { path: label, expected: imageBytes, ...(capacityBytes === undefined ? {} : { actual: capacityBytes }) },
  )
}

/** The error for a target that was closed. */
export function targetClosed(label: string): PlatterError {
  return new PlatterError('ERR_CLOSED', `The target '${label}' is closed.`, { path: label })
}

/**
 * Refuses a range outside the image announced to `prepare`, or any before it.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function assertImageRange(
  label: string,
  offset: number,
  length: number,
  imageBytes: number | undefined,
): void {
  if (imageBytes === undefined) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `prepare() must come before anything is written to '${label}'.`,
      {
        path: label,
      },
    )
  }
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
  if (valid && offset + length <= imageBytes) return
  throw new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `${length} bytes at ${offset} do not lie within the image of ${imageBytes} bytes that is written to '${label}'.`,
    { path: label, offset, length, expected: imageBytes },
  )
}
