import { type ErrorCode, PlatterError, systemCodeOf } from '@platter/core'

/** Code of Platter for a failed call of {@link LocalStore} to the file system; absence is not decided here. */
function codeFor(systemCode: string | undefined): ErrorCode {
  switch (systemCode) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'ERR_STORE_FULL'
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'ERR_STORE_ACCESS'
    default:
      return 'ERR_STORE_IO'
  }
}

const ADVICE: Partial<Record<ErrorCode, string>> = {
  ERR_STORE_FULL: 'The file system or the quota is full; free some space or prune.',
  ERR_STORE_ACCESS: 'Check permissions, and whether the file system is mounted read-only.',
  ERR_STORE_IO: 'Check the disk or the network share, then try again.',
}

/** Makes an error of Platter of what the file system threw; errors of Platter and aborts pass unchanged. */
export function storeError(error: unknown, action: string, object: string, path: string): unknown {
  if (error instanceof PlatterError) return error
  const systemCode = systemCodeOf(error)
  if (systemCode === undefined || systemCode.startsWith('ERR_') || systemCode === 'ABORT_ERR') return error
  const code = codeFor(systemCode)
  return new PlatterError(
    code,
    `Could not ${action} '${object}' in '${path}': ${systemCode}. ${ADVICE[code] ?? ''}`.trimEnd(),
    { object, path, systemCode, cause: error },
  )
}

/** The error for an object that is certainly not there. */
export function objectNotFound(object: string, path: string, cause?: unknown): PlatterError {
  return new PlatterError('ERR_NOT_FOUND', `There is no object '${object}' in '${path}'.`, {
    object,
    path,
    cause,
  })
}

/** True for the error codes of a path under which nothing stands. */
export function isAbsence(error: unknown): boolean {
  const code = systemCodeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}
