import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { dirname, join } from 'node:path'
import { PlatterError, systemCodeOf } from '@platter/core'
import { storeError } from './local-store-errors.ts'
import { partsAfter, partsBytes } from './parts.ts'
import type { StoreFile, StoreFileStat, StoreFileSystem } from './store-file-system.ts'
import type { StoreFolder } from './store-folder.ts'

/** Name of the folder of files under way. It starts with a dot, so no object can have it. */
export const TEMPORARY_FOLDER = '.tmp'

/** The file in that folder whose space is kept back. */
const RESERVE_NAME = 'reserve'
const TEMPORARY_NAME = /^[0-9a-f]{32}$/
const STALE_AFTER_MS = 24n * 60n * 60n * 1000n

/** What {@link ObjectWriter} needs of the options of the store. */
export interface ObjectWriterOptions {
  readonly fileMode: number
  readonly folderMode: number
  readonly fileSystem: StoreFileSystem
}

/**
 * Creates objects, each whole, durable and only once: everything goes to a temporary file, which is synced and
 * then hard-linked to its final name; the link is what only one of many racers succeeds with. A sync that failed
 * is never tried again, since the kernel drops the data it could not write and would report success.
 */
export class ObjectWriter {
  readonly #folder: StoreFolder
  readonly #fs: StoreFileSystem
  readonly #options: ObjectWriterOptions
  /** Folders of which this instance knows that they, and those above them, are there and durable. */
  readonly #durableFolders = new Set<string>()
  #removedStale = false

  constructor(folder: StoreFolder, options: ObjectWriterOptions) {
    this.#folder = folder
    this.#fs = options.fileSystem
    this.#options = options
  }

  /** @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_STORE_UNSUPPORTED */
  async put(name: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<'created' | 'exists'> {
    const path = this.#folder.pathOf(name)
    const temporary = join(this.#folder.path, TEMPORARY_FOLDER, randomBytes(16).toString('hex'))
    try {
      await this.#writeTemporary(temporary, parts, signal)
      signal?.throwIfAborted()
      await this.#createFolders(dirname(path))
      const outcome = await this.#link(temporary, path, name)
      // Also when it was there already: who created it may not have come so far yet.
      await this.makeDurable(dirname(path))
      return outcome
    } catch (error) {
      throw storeError(error, 'create', name, this.#folder.path)
    } finally {
      // What cannot be removed now is removed as a stale file later.
      await this.#fs.unlink(temporary).catch(() => {})
    }
  }

  /** @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO */
  async keepReserve(sizeBytes: number): Promise<void> {
    const path = this.#reservePath
    try {
      const standing = await this.#inspect(path)
      if (standing !== undefined && standing.size >= BigInt(sizeBytes)) return
      await this.releaseReserve()
      // Random: some file systems store neither zeros nor what they can compress.
      await this.#writeTemporary(path, [randomBytes(sizeBytes)])
    } catch (error) {
      if (systemCodeOf(error) === 'EEXIST') return // another process was faster, so the file is its own
      await this.#fs.unlink(path).catch(() => {})
      throw storeError(error, 'keep space back for', RESERVE_NAME, this.#folder.path)
    }
  }

  /** Whether there was a reserve. @throws ERR_STORE_ACCESS, ERR_STORE_IO */
  async releaseReserve(): Promise<boolean> {
    try {
      await this.#fs.unlink(this.#reservePath)
      return true
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return false
      throw storeError(error, 'give up the space kept back for', RESERVE_NAME, this.#folder.path)
    }
  }

  get #reservePath(): string {
    return join(this.#folder.path, TEMPORARY_FOLDER, RESERVE_NAME)
  }

  async #writeTemporary(path: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const file = await this.#openTemporary(path)
    try {
      if (!this.#removedStale) {
        this.#removedStale = true
        await this.#removeStale((await file.stat({ bigint: true })).mtimeMs)
      }
      const sizeBytes = partsBytes(parts)
      let done = 0
      while (done < sizeBytes) {
        signal?.throwIfAborted()
        const { bytesWritten } = await file.writev(partsAfter(parts, done), done)
        if (bytesWritten === 0) throw wroteNothing(path, done)
        done += bytesWritten
      }
      signal?.throwIfAborted()
      await file.sync()
    } catch (error) {
      await file.close().catch(() => {}) // the first error is the one to tell
      throw error
    }
    await file.close()
  }

  async #openTemporary(path: string): Promise<StoreFile> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
    try {
      return await this.#fs.open(path, flags, this.#options.fileMode)
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error
      await this.#createFolder(dirname(path))
      return await this.#fs.open(path, flags, this.#options.fileMode)
    }
  }

  /**
   * Removes what crashed writers left. Age is told by the clock of the file system (`nowMs` is the time stamp of
   * a file just created there), as that of this machine may be far off. Nothing depends on it, so errors are left.
   */
  async #removeStale(nowMs: bigint): Promise<void> {
    const folder = join(this.#folder.path, TEMPORARY_FOLDER)
    const entries = await this.#fs.readdir(folder, { withFileTypes: true }).catch(() => [])
    for (const { name } of entries) {
      if (!TEMPORARY_NAME.test(name)) continue
      const path = join(folder, name)
      const stat = await this.#fs.stat(path, { bigint: true }).catch(() => undefined)
      if (stat && stat.mtimeMs < nowMs - STALE_AFTER_MS) await this.#fs.unlink(path).catch(() => {})
    }
  }

  async #createFolders(path: string): Promise<void> {
    if (path === this.#folder.path || this.#durableFolders.has(path)) return
    await this.#createFolders(dirname(path))
    await this.#createFolder(path)
  }

  async #createFolder(path: string): Promise<void> {
    try {
      await this.#fs.mkdir(path, this.#options.folderMode)
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error
    }
  }

  async #link(temporary: string, path: string, name: string): Promise<'created' | 'exists'> {
    try {
      await this.#fs.link(temporary, path)
      return 'created'
    } catch (error) {
      const standing = await this.#inspect(path)
      // A network share may have made the link and lost the answer; the repeated request then finds it taken.
      if (standing && isSameFile(standing, await this.#inspect(temporary))) return 'created'
      const code = systemCodeOf(error) ?? ''
      if (code === 'EEXIST') {
        if (standing && !standing.isFile()) throw nameBlocked(name, path)
        return 'exists'
      }
      if (code === 'ENOENT') this.#durableFolders.clear()
      if (NO_HARD_LINKS.has(code)) throw noHardLinks(name, this.#folder.path, code, error)
      throw error
    }
  }

  /** What stands at `path`. It is opened first: network shares then ask the server instead of their cache. */
  async #inspect(path: string): Promise<StoreFileStat | undefined> {
    try {
      const file = await this.#fs.open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      try {
        return await file.stat({ bigint: true })
      } finally {
        await file.close()
      }
    } catch {
      return undefined
    }
  }

  /**
   * Syncs the entries of a folder, and those of the folders above it unless this instance did so before: who
   * created them, maybe another process, may not have synced them yet.
   *
   * @throws the error of the file system
   */
  async makeDurable(path: string): Promise<void> {
    await this.#folder.syncEntries(path)
    const added: string[] = []
    for (let at = path; at !== this.#folder.path && !this.#durableFolders.has(at); at = dirname(at)) {
      await this.#folder.syncEntries(dirname(at))
      added.push(at)
    }
    for (const folder of added) this.#durableFolders.add(folder)
  }
}

const NO_HARD_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EXDEV',
])

function isSameFile(standing: StoreFileStat, temporary: StoreFileStat | undefined): boolean {
  if (temporary === undefined) return false
  return standing.ino === temporary.ino && standing.dev === temporary.dev && temporary.nlink === 2n
}

function noHardLinks(object: string, path: string, systemCode: string, cause: unknown): PlatterError {
  return new PlatterError(
    'ERR_STORE_UNSUPPORTED',
    `The file system under '${path}' cannot make the hard link (${systemCode}) that creates '${object}' safely. ` +
      'FAT, exFAT and some network shares have none; use another file system, and keep all of the store on one.',
    { object, path, systemCode, cause },
  )
}

function nameBlocked(object: string, path: string): PlatterError {
  return new PlatterError(
    'ERR_STORE_IO',
    `The object '${object}' cannot be created: a folder, or something else that is no file, stands at '${path}'.`,
    { object, path },
  )
}

function wroteNothing(path: string, offset: number): PlatterError {
  return new PlatterError('ERR_STORE_IO', `The file system wrote nothing to '${path}', and said no reason.`, {
    path,
    offset,
  })
}
