import { constants } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { PlatterError, systemCodeOf } from '@platter/core'
import { isAbsence, storeError } from './local-store-errors.ts'
import type { StoreFileStat, StoreFileSystem } from './store-file-system.ts'

/**
 * The folder a {@link LocalStore} lives in, and the knowledge whether it is still the same one. When a disk or
 * share is unmounted, the empty mount point looks like a store that lost everything; to tell the two apart, the
 * identity (device and inode) of the folder is noted at first use and compared later.
 */
export class StoreFolder {
  readonly path: string
  readonly #fs: StoreFileSystem
  #identity: Promise<string> | undefined

  constructor(path: string, fs: StoreFileSystem) {
    this.path = resolve(path)
    this.#fs = fs
  }

  pathOf(object: string): string {
    return join(this.path, ...object.split('/'))
  }

  /**
   * Notes the identity of the folder at first use; costs nothing later.
   *
   * @throws ERR_NOT_FOUND when it never was there, ERR_STORE_UNSUPPORTED when it is no folder, ERR_STORE_ACCESS,
   * ERR_STORE_IO
   */
  async identify(): Promise<string> {
    this.#identity ??= this.#openAndIdentify().catch((error: unknown) => {
      this.#identity = undefined // it may be mounted before the next try
      const code = systemCodeOf(error)
      if (code === 'ENOENT') throw folderMissing(this.path, error)
      if (code === 'ENOTDIR') throw notFolder(this.path, error)
      throw storeError(error, 'open', '.', this.path)
    })
    return await this.#identity
  }

  /**
   * Throws unless the folder is there and is the one that was there at first.
   *
   * @throws ERR_NOT_FOUND when it never was there, ERR_STORE_UNSUPPORTED when it is no folder, ERR_STORE_ACCESS,
   * ERR_STORE_IO
   */
  async assertPresent(): Promise<void> {
    const expected = await this.identify()
    const now = await this.#fs.stat(this.path, { bigint: true }).then(identityOf, () => undefined)
    if (now === expected) return
    // An automounted folder has another identity while it is not mounted; opening mounts it, stat does not.
    const reopened = await this.#openAndIdentify().catch((error: unknown) => {
      throw isAbsence(error) ? folderVanished(this.path, error) : storeError(error, 'open', '.', this.path)
    })
    if (reopened !== expected) throw folderVanished(this.path)
  }

  async #openAndIdentify(): Promise<string> {
    const handle = await this.#fs.open(this.path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      return identityOf(await handle.stat({ bigint: true }))
    } finally {
      await handle.close()
    }
  }

  /**
   * Makes the entries of a folder durable.
   *
   * @throws the error of the file system
   */
  async syncEntries(path: string): Promise<void> {
    // Windows cannot open folders for this; NTFS journals the entries itself.
    if (process.platform === 'win32') return
    const handle = await this.#fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } catch (error) {
      // EINVAL and its like say that this file system has no such call for folders (some network shares);
      // anything else means that entries may have been lost.
      if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCodeOf(error) ?? '')) throw error
    } finally {
      await handle.close()
    }
  }
}

/**
 * Creates the folder of a store and the folders above it, durably. Harmless when it is there: then it is made durable,
 * since who created it may have failed before it was.
 *
 * @throws ERR_STORE_UNSUPPORTED when something else than a folder stands there, ERR_STORE_FULL, ERR_STORE_ACCESS,
 * ERR_STORE_IO
 */
export async function createStoreFolder(path: string, mode: number, fs: StoreFileSystem): Promise<void> {
  const folder = new StoreFolder(path, fs)
  try {
    const created = await createFolders(folder.path, mode, fs)
    for (let at = folder.path; dirname(at) !== at; at = dirname(at)) {
      await folder.syncEntries(dirname(at)).catch((error: unknown) => {
        // Folders that have been there for long are often not ours to open.
        if (created.includes(at) || !NOT_OURS.has(systemCodeOf(error) ?? '')) throw error
      })
    }
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'EEXIST' || code === 'ENOTDIR') throw notFolder(folder.path, error)
    throw storeError(error, 'create the folder of the store', '.', folder.path)
  }
}

const NOT_OURS: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS'])

/** Gives the folders that had to be created. The recursive mkdir of Node never ends on some file systems. */
async function createFolders(path: string, mode: number, fs: StoreFileSystem): Promise<string[]> {
  try {
    await fs.mkdir(path, mode)
    return [path]
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'EEXIST' && (await fs.stat(path, { bigint: true })).isDirectory()) return []
    if (code !== 'ENOENT' || dirname(path) === path) throw error
  }
  const above = await createFolders(dirname(path), mode, fs)
  await fs.mkdir(path, mode)
  return [...above, path]
}

function identityOf(stat: StoreFileStat): string {
  return `${stat.dev}:${stat.ino}`
}

function folderMissing(path: string, cause: unknown): PlatterError {
  return new PlatterError(
    'ERR_NOT_FOUND',
    `The folder '${path}' of the store does not exist. Mount it, check the path, or create it with LocalStore.create().`,
    { path, cause, systemCode: systemCodeOf(cause) ?? 'ENOENT' },
  )
}

function notFolder(path: string, cause: unknown): PlatterError {
  return new PlatterError(
    'ERR_STORE_UNSUPPORTED',
    `'${path}' cannot be a store: it, or a part of the way to it, is a file. A store is a folder; check the path.`,
    { path, cause, systemCode: systemCodeOf(cause) ?? 'ENOTDIR' },
  )
}

function folderVanished(path: string, cause?: unknown): PlatterError {
  return new PlatterError(
    'ERR_STORE_IO',
    `The folder '${path}' of the store is gone or is another one than before; was it unmounted? Mount it and open the store again.`,
    { path, cause },
  )
}
