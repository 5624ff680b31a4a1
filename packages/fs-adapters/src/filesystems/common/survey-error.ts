import type { FilesystemProblem, FilesystemProblemCode } from '../filesystem-map.ts'

/**
 * Ends the survey of a filesystem: the volume is to be read whole. Never leaves this folder: it becomes the problem of
 * a map.
 */
export class SurveyError extends Error implements FilesystemProblem {
  readonly code: FilesystemProblemCode

  constructor(code: FilesystemProblemCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Throws unless `condition` holds. `message` says what is wrong when it does not. */
export function ensure(condition: boolean, code: FilesystemProblemCode, message: string): asserts condition {
  if (!condition) throw new SurveyError(code, message)
}

/** Flags as people write them, for messages. */
export function hex(flags: number): string {
  return `0x${(flags >>> 0).toString(16)}`
}
