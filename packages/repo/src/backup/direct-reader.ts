import { readSync } from 'node:fs'
import { PlatterError, systemCodeOf } from '@platter/core'
import { readAround } from './read-around.ts'
import type { PieceRead, PieceReader } from './region-encoder.ts'

/** Reads an image through a file descriptor, in the thread that works on it. */
export class DirectReader implements PieceReader {
  readonly #fd: number
  readonly #onReadError: 'stop' | 'record'
  readonly #sectorBytes: number

  constructor(fd: number, onReadError: 'stop' | 'record', sectorBytes: number) {
    this.#fd = fd
    this.#onReadError = onReadError
    this.#sectorBytes = sectorBytes
  }

  /** @throws ERR_SOURCE_READ, ERR_SOURCE_CHANGED when the image ends early. */
  async read(offset: number, into: Uint8Array): Promise<PieceRead> {
    const readFully = (at: number, part: Uint8Array): void => readFullySync(this.#fd, at, part)
    const bytes = into.length
    if (this.#onReadError === 'record') {
      return { bytes, bad: await readAround(readFully, offset, into, this.#sectorBytes) }
    }
    readFully(offset, into)
    return { bytes, bad: [] }
  }
}

function readFullySync(fd: number, offset: number, into: Uint8Array): void {
  let done = 0
  while (done < into.length) {
    const got = readSome(fd, offset + done, into.subarray(done))
    if (got === 0) {
      throw new PlatterError(
        'ERR_SOURCE_CHANGED',
        `The source ended at byte ${offset + done} while it was being read; it has shrunk.`,
        {
          offset: offset + done,
        },
      )
    }
    done += got
  }
}

function readSome(fd: number, offset: number, into: Uint8Array): number {
  try {
    return readSync(fd, into, 0, into.length, offset)
  } catch (cause) {
    const systemCode = systemCodeOf(cause) ?? 'unknown error'
    throw new PlatterError(
      'ERR_SOURCE_READ',
      `The source cannot be read at byte ${offset} (${systemCode}).`,
      {
        offset,
        length: into.length,
        systemCode,
        cause,
      },
    )
  }
}
