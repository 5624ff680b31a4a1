import { type ErrorCode, PlatterError, systemCodeOf } from '@platter/core'

/** The error for a source that could not be opened. Errors of Platter and aborts pass unchanged. */
export function sourceOpenError(error: unknown, path: string): unknown {
  if (error instanceof PlatterError) return error
  const systemCode = systemCodeOf(error)
  if (systemCode === undefined || systemCode.startsWith('ERR_') || systemCode === 'ABORT_ERR') return error
  const [code, what] = openFailure(systemCode)
  return new PlatterError(code, `Could not open '${path}': ${what} (${systemCode}).`, {
    path,
    systemCode,
    cause: error,
  })
}

function openFailure(systemCode: string): [ErrorCode, string] {
  switch (systemCode) {
    case 'ENOENT':
    case 'ENOTDIR':
      return ['ERR_SOURCE_NOT_FOUND', 'there is no such file or device']
    case 'EACCES':
    case 'EPERM':
      return ['ERR_SOURCE_ACCESS', 'permission denied; block devices usually need root or the group "disk"']
    case 'ENXIO':
    case 'ENODEV':
    case 'ENOMEDIUM':
      return ['ERR_SOURCE_NOT_FOUND', 'no device or no medium is there']
    default:
      return ['ERR_SOURCE_READ', 'the system refused']
  }
}

/** The error for a source that failed to give its bytes at `offset`. Errors of Platter pass unchanged. */
export function sourceReadError(error: unknown, label: string, offset: number): unknown {
  if (error instanceof PlatterError) return error
  const systemCode = systemCodeOf(error)
  const reason = systemCode ?? (error instanceof Error ? error.message : String(error))
  return new PlatterError('ERR_SOURCE_READ', `Could not read '${label}' at byte ${offset}: ${reason}.`, {
    path: label,
    offset,
    ...(systemCode === undefined ? {} : { systemCode }),
    cause: error,
  })
}

/** The error for a source that is not any more what it was when it was opened. */
export function sourceChanged(
  label: string,
  what: string,
  details: {
    readonly offset?: number
    readonly expected?: string | number
    readonly actual?: string | number
  },
): PlatterError {
  return new PlatterError(
    'ERR_SOURCE_CHANGED',
    `'${label}' changed while it was being read: ${what}. Stop what writes to it, or read a snapshot of it.`,
    { path: label, ...details },
  )
}

/** The error for a source that was closed. */
export function sourceClosed(label: string): PlatterError {
  return new PlatterError('ERR_CLOSED', `The source '${label}' is closed.`, { path: label })
}
