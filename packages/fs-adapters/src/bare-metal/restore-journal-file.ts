import { readFile, unlink } from 'node:fs/promises'
import { resolve } from 'node:path'
import { PlatterError, type RestoreJournal, systemCodeOf } from '@platter/core'
import { replaceFile } from '../system/replace-file.ts'

/** The journal of a restore in a file, which is replaced as a whole. It must not lie on the target. */
export class RestoreJournalFile implements RestoreJournal {
  readonly label: string
  readonly #path: string

  /** @param path of the file; its folder must exist. */
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

  async save(bytes: Uint8Array): Promise<void> {
    await replaceFile(this.#path, bytes).catch((cause: unknown) => {
      throw this.#failure('written', cause)
    })
  }

  async remove(): Promise<void> {
    await unlink(this.#path).catch((cause: unknown) => {
      if (systemCodeOf(cause) !== 'ENOENT') throw this.#failure('removed', cause)
    })
  }

  #failure(what: string, cause: unknown): PlatterError {
    const systemCode = systemCodeOf(cause)
    return new PlatterError(
      'ERR_JOURNAL_IO',
      `The journal '${this.label}' cannot be ${what}${systemCode === undefined ? '' : ` (${systemCode})`}.`,
      { path: this.#path, cause, ...(systemCode === undefined ? {} : { systemCode }) },
    )
  }
}
