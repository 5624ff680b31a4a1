import { constants } from 'node:fs'
import { dirname } from 'node:path'
import {
  assert,
  assertStoreName,
  assertStorePrefix,
  isStoreName,
  PlatterError,
  type ReadsInto,
  type SettledNames,
  type SpaceReserve,
  type Store,
  type StoreCallOptions,
  type StoreGetOptions,
  type StoreStat,
  systemCodeOf,
} from '@platter/core'
import { isAbsence, objectNotFound, storeError } from './local-store-errors.ts'
import { listFolder } from './local-store-list.ts'
import { ObjectWriter } from './local-store-writer.ts'
import { assertRange, assertSize } from './object-limits.ts'
import {
  nodeFileSystem,
  type StoreFile,
  type StoreFileStat,
  type StoreFileSystem,
} from './store-file-system.ts'
import { createStoreFolder, StoreFolder } from './store-folder.ts'

/** Options of {@link LocalStore}. */
export interface LocalStoreOptions {
  /** Create the folder at the first write if it is missing. Default false, as it may be a disk not yet mounted. */
  readonly create?: boolean
  /** Permissions of new files, less the umask. Default 0o600. */
  readonly fileMode?: number
  /** Permissions of new folders, less the umask. Default 0o700. */
  readonly folderMode?: number
  /** Calls to the file system, for tests that let them fail. Default: those of this machine. */
  readonly fileSystem?: StoreFileSystem
}

/** Defaults of {@link LocalStoreOptions}. */
export const LOCAL_STORE_DEFAULTS: Required<LocalStoreOptions> = Object.freeze({
  create: false,
  fileMode: 0o600,
  folderMode: 0o700,
  fileSystem: nodeFileSystem,
})

/**
 * A store of files in a folder, on a local disk or a network share. The file system must have hard links: they
 * are what makes creating an object an all-or-nothing step that only one of many racing processes wins.
 *
 * Objects are files of the same relative name. Files under way stand in `.tmp`, a name no object can have; those
 * a crash left behind are removed after a day. Files and folders whose names no object could have (`lost+found`,
 * `@eaDir`, `.nfs0001`) are not looked at.
 *
 * @example
 * const store = await LocalStore.create('/backups/lab')
 * await store.putIfAbsent('notes/first', [new TextEncoder().encode('hello')])
 */
export class LocalStore implements Store, SpaceReserve, SettledNames, ReadsInto {
  readonly label: string
  readonly #folder: StoreFolder
  readonly #options: Required<LocalStoreOptions>
  readonly #writer: ObjectWriter
  #isCreated = false

  /** Uses the folder at `path`. Nothing is touched before the first call. */
  constructor(path: string, options: LocalStoreOptions = {}) {
    this.#options = { ...LOCAL_STORE_DEFAULTS, ...options }
    this.#folder = new StoreFolder(path, this.#options.fileSystem)
    this.#writer = new ObjectWriter(this.#folder, this.#options)
    this.label = this.#folder.path
  }

  /**
   * Creates the folder, and those above it, if they are missing, and gives the store in it.
   *
   * @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO
   */
  static async create(path: string, options: LocalStoreOptions = {}): Promise<LocalStore> {
    const { folderMode, fileSystem } = { ...LOCAL_STORE_DEFAULTS, ...options }
    await createStoreFolder(path, folderMode, fileSystem)
    return new LocalStore(path, options)
  }

  /** @throws ERR_NOT_FOUND, ERR_LIMIT_EXCEEDED, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME */
  get(name: string, options: StoreGetOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    return this.#withObject(name, options, async (file, sizeBytes) => {
      assertSize(name, sizeBytes, options.maxBytes)
      return await readExactly(file, name, 0, new Uint8Array(sizeBytes), options)
    })
  }

  /** @throws ERR_NOT_FOUND, ERR_LIMIT_EXCEEDED, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME */
  getInto(name: string, memory: Uint8Array, options: StoreGetOptions = {}): Promise<Uint8Array> {
    return this.#withObject(name, options, async (file, sizeBytes) => {
      assertSize(name, sizeBytes, options.maxBytes)
      const into = sizeBytes > memory.length ? new Uint8Array(sizeBytes) : memory.subarray(0, sizeBytes)
      return await readExactly(file, name, 0, into, options)
    })
  }

  /** @throws ERR_NOT_FOUND, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME */
  getRange(
    name: string,
    offset: number,
    length: number,
    options: StoreCallOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#withObject(name, options, async (file, sizeBytes) => {
      assertRange(name, offset, length, sizeBytes)
      return await readExactly(file, name, offset, new Uint8Array(length), options)
    })
  }

  /** @throws ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME; ERR_NOT_FOUND when the folder never was there. */
  async stat(name: string, options: StoreCallOptions = {}): Promise<StoreStat | undefined> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    await this.#folder.identify()
    try {
      const stat = await this.#options.fileSystem.stat(this.#folder.pathOf(name), { bigint: true })
      return stat.isFile() ? { name, sizeBytes: sizeOf(stat) } : undefined
    } catch (error) {
      if (!isAbsence(error)) throw storeError(error, 'look at', name, this.label)
      await this.#folder.assertPresent()
      return undefined
    }
  }

  /** @throws ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME; ERR_NOT_FOUND when the folder never was there. */
  async *list(prefix: string, options: StoreCallOptions = {}): AsyncIterable<StoreStat> {
    assertStorePrefix(prefix)
    options.signal?.throwIfAborted()
    await this.#folder.assertPresent()
    yield* listFolder(this.#folder, this.#options.fileSystem, prefix.slice(0, -1), options)
    // A share that went away during the listing may have answered with nothing instead of an error.
    await this.#folder.assertPresent()
  }

  /** @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO, ERR_STORE_UNSUPPORTED, ERR_INVALID_NAME */
  async putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options: StoreCallOptions = {},
  ): Promise<'created' | 'exists'> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    await this.#assertPresentOrCreate()
    return await this.#writer.put(name, parts, options.signal)
  }

  /** @throws ERR_STORE_ACCESS, ERR_STORE_IO, ERR_INVALID_NAME */
  async delete(name: string, options: StoreCallOptions = {}): Promise<void> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    await this.#folder.identify()
    const path = this.#folder.pathOf(name)
    try {
      await this.#unlink(path)
      // Also when nothing stood there: who removed it may have died, or failed, before that was durable.
      await this.#folder.syncEntries(dirname(path))
    } catch (error) {
      if (!isAbsence(error)) throw storeError(error, 'remove', name, this.label)
      // Not even the folder of the object is there.
      await this.#folder.assertPresent()
    }
  }

  /**
   * Keeps space back in a file in `.tmp`. @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO
   */
  async keepReserve(sizeBytes: number, options: StoreCallOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    await this.#assertPresentOrCreate()
    await this.#writer.keepReserve(sizeBytes)
  }

  /** @throws ERR_STORE_ACCESS, ERR_STORE_IO */
  async releaseReserve(options: StoreCallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted()
    await this.#folder.identify()
    return await this.#writer.releaseReserve()
  }

  /** Syncs the folders of these objects, and those above them. @throws ERR_STORE_FULL, ERR_STORE_ACCESS, ERR_STORE_IO */
  async settle(prefix: string, options: StoreCallOptions = {}): Promise<void> {
    assertStorePrefix(prefix)
    options.signal?.throwIfAborted()
    await this.#folder.identify()
    const { fileSystem } = this.#options
    const pending = [prefix.slice(0, -1)]
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      options.signal?.throwIfAborted()
      const path = this.#folder.pathOf(at)
      try {
        await this.#writer.makeDurable(path)
        for (const entry of await fileSystem.readdir(path, { withFileTypes: true }))
          if (entry.isDirectory() && isStoreName(entry.name)) pending.push(`${at}/${entry.name}`)
      } catch (error) {
        if (!isAbsence(error)) throw storeError(error, 'make durable', `${at}/`, this.label)
        await this.#folder.assertPresent()
      }
    }
  }

  /** Does nothing: no file is kept open between calls. */
  async close(): Promise<void> {}

  /** Removes a file. A folder that stands there is no object, so it stays. */
  async #unlink(path: string): Promise<void> {
    try {
      await this.#options.fileSystem.unlink(path)
    } catch (error) {
      if (!isAbsence(error) && systemCodeOf(error) !== 'EISDIR') throw error
    }
  }

  async #assertPresentOrCreate(): Promise<void> {
    const { create, folderMode, fileSystem } = this.#options
    try {
      await this.#folder.assertPresent()
    } catch (error) {
      if (!create || !PlatterError.is(error, 'ERR_NOT_FOUND')) throw error
    }
    if (!create || this.#isCreated) return
    // Also when it is there: who created it may not have come so far as to make it durable.
    await createStoreFolder(this.#folder.path, folderMode, fileSystem)
    await this.#folder.assertPresent()
    this.#isCreated = true
  }

  async #withObject<T>(
    name: string,
    options: StoreCallOptions,
    read: (file: StoreFile, sizeBytes: number) => Promise<T>,
  ): Promise<T> {
    assertStoreName(name)
    options.signal?.throwIfAborted()
    await this.#folder.identify()
    let file: StoreFile
    try {
      // O_NONBLOCK: should a FIFO stand there, opening it must not wait for a writer.
      const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
      file = await this.#options.fileSystem.open(this.#folder.pathOf(name), flags)
    } catch (error) {
      if (!isAbsence(error)) throw storeError(error, 'open', name, this.label)
      await this.#folder.assertPresent()
      throw objectNotFound(name, this.label, error)
    }
    try {
      const stat = await file.stat({ bigint: true })
      if (!stat.isFile()) throw objectNotFound(name, this.label)
      return await read(file, sizeOf(stat))
    } catch (error) {
      throw storeError(error, 'read', name, this.label)
    } finally {
      // What was read is not made wrong by it, and an error before it is the one to tell.
      await file.close().catch(() => {})
    }
  }
}

/** Most bytes asked of one read call; Node refuses 2 GiB and more. */
const MAX_READ_BYTES = 1 << 30

async function readExactly<Memory extends Uint8Array>(
  file: StoreFile,
  name: string,
  offset: number,
  into: Memory,
  options: StoreCallOptions,
): Promise<Memory> {
  const { length } = into
  let done = 0
  while (done < length) {
    options.signal?.throwIfAborted()
    const { bytesRead } = await file.read(into, done, Math.min(length - done, MAX_READ_BYTES), offset + done)
    // The size was just asked for: the file was cut meanwhile, or the file system lies about it.
    if (bytesRead === 0) assertRange(name, offset, length, offset + done)
    done += bytesRead
  }
  return into
}

function sizeOf(stat: StoreFileStat): number {
  const size = Number(stat.size)
  assert(Number.isSafeInteger(size), 'a file is larger than 8 PiB')
  return size
}
