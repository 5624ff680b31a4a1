import { writeSync } from 'node:fs'
import { PlatterError, systemCodeOf } from '@platter/core'
import type { PieceOutcome, PieceOutput } from './piece-output.ts'

/** Writes to the target's file descriptor, in the thread that decompressed the bytes. */
export class DirectWriter implements PieceOutput {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  /** @throws ERR_TARGET_WRITE, ERR_TARGET_FULL */
  async write(_slice: number, offset: number, bytes: Uint8Array): Promise<PieceOutcome> {
    for (let done = 0; done < bytes.length; ) done += this.#writeSome(offset + done, bytes.subarray(done))
    return { written: bytes.length, unchanged: 0 }
  }

  #writeSome(offset: number, bytes: Uint8Array): number {
    try {
      const written = writeSync(this.#fd, bytes, 0, bytes.length, offset)
      if (written === 0) throw new Error('nothing was written, and no reason given')
      return written
    } catch (cause) {
      const systemCode = systemCodeOf(cause) ?? 'unknown error'
      const full = systemCode === 'ENOSPC' || systemCode === 'EDQUOT' || systemCode === 'EFBIG'
      throw new PlatterError(
        full ? 'ERR_TARGET_FULL' : 'ERR_TARGET_WRITE',
        `The target cannot be written at byte ${offset} (${systemCode}); what is on it is incomplete.`,
        { offset, length: bytes.length, systemCode, cause },
      )
    }
  }
}
