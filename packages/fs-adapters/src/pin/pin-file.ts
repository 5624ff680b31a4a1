import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PlatterError, type StatePin, systemCodeOf } from '@platter/core'
import { replaceFile } from '../system/replace-file.ts'
import { holdPinLock } from './pin-lock.ts'

/**
 * A pin in a file of this machine. The file is replaced as a whole: a new one is written beside it, synced, and renamed.
 * Clients that share it wait for one another.
 */
export class PinFile implements StatePin {
  readonly label: string
  readonly #path: string

  /** @param path of the file; its folder must exist. It must not lie in the store, which could set both back. */
  constructor(path: string) {
    this.#path = resolve(path)
    this.label = path
  }

  async load(): Promise<Uint8Array | undefined> {
    try {
      return new Uint8Array(await readFile(this.#path))
    } catch (cause) {
      if (systemCodeOf(cause) === 'ENOENT') return undefined
      throw this.#failure('read', cause)
    }
  }

  async update(merge: (current: Uint8Array | undefined) => Uint8Array): Promise<void> {
    const lock = await holdPinLock(this.#path).catch((cause: unknown) => {
      throw this.#failure('lock', cause)
    })
    try {
      const bytes = merge(await this.load())
      await replaceFile(this.#path, bytes).catch((cause: unknown) => {
        throw this.#failure('write', cause)
      })
    } finally {
      await lock.release()
    }
  }

  #failure(what: 'read' | 'write' | 'lock', cause: unknown): PlatterError {
    const systemCode = systemCodeOf(cause)
    const why = systemCode === undefined ? '' : ` (${systemCode})`
    const message =
      systemCode === 'ENOENT'
        ? `The pin '${this.label}' cannot be written: its folder does not exist.`
        : `The pin '${this.label}' cannot be ${PAST[what]}${why}.`
    return new PlatterError('ERR_PIN_IO', message, {
      path: this.#path,
      cause,
      ...(systemCode === undefined ? {} : { systemCode }),
    })
  }
}

const PAST = { read: 'read', write: 'written', lock: 'locked' } as const
