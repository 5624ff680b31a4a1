import { isStoreName, PlatterError, type StoreCallOptions, type StoreStat, systemCodeOf } from '@platter/core'
import { isAbsence, storeError } from './local-store-errors.ts'
import type { StoreDirent, StoreFileStat, StoreFileSystem } from './store-file-system.ts'
import type { StoreFolder } from './store-folder.ts'

/** Files asked for their size at once: enough to keep a network share busy. */
const CONCURRENT_STATS = 32

/**
 * Every object below `prefix` ('' for the whole store). Names no object can have are passed over; any folder
 * that cannot be read throws.
 *
 * @throws ERR_STORE_ACCESS, ERR_STORE_IO
 */
export async function* listFolder(
  folder: StoreFolder,
  fs: StoreFileSystem,
  prefix: string,
  options: StoreCallOptions,
): AsyncIterable<StoreStat> {
  const pending = [prefix]
  while (pending.length > 0) {
    const at = pending.pop() as string
    options.signal?.throwIfAborted()
    const entries = await readFolder(folder, fs, at, at === prefix)
    const names: string[] = []
    for (const entry of entries) {
      const name = at === '' ? entry.name : `${at}/${entry.name}`
      if (!isStoreName(name)) continue
      if (entry.isDirectory()) pending.push(name)
      else if (entry.isFile() || entry.isSymbolicLink()) names.push(name)
    }
    for (let i = 0; i < names.length; i += CONCURRENT_STATS) {
      options.signal?.throwIfAborted()
      const batch = names.slice(i, i + CONCURRENT_STATS)
      const stats = await Promise.all(batch.map((name) => statEntry(folder, fs, name)))
      for (const [j, stat] of stats.entries()) {
        const name = batch[j] as string
        if (stat?.isFile()) yield { name, sizeBytes: Number(stat.size) }
        else if (stat?.isDirectory()) pending.push(name) // a link to a folder
      }
    }
  }
}

async function readFolder(
  folder: StoreFolder,
  fs: StoreFileSystem,
  name: string,
  isStart: boolean,
): Promise<StoreDirent[]> {
  const path = name === '' ? folder.path : folder.pathOf(name)
  try {
    return await fs.readdir(path, { withFileTypes: true })
  } catch (error) {
    if (!isAbsence(error)) throw storeError(error, 'list', `${name}/`, folder.path)
    await folder.assertPresent()
    if (isStart && name !== '') return []
    // Stores do not remove folders: one that was just seen and is gone means that somebody moves things about.
    throw new PlatterError('ERR_STORE_IO', `The folder '${path}' vanished while it was being listed.`, {
      path,
      cause: error,
    })
  }
}

async function statEntry(
  folder: StoreFolder,
  fs: StoreFileSystem,
  name: string,
): Promise<StoreFileStat | undefined> {
  try {
    return await fs.stat(folder.pathOf(name), { bigint: true })
  } catch (error) {
    // Removed since the folder was read, so it need not be listed.
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw storeError(error, 'look at', name, folder.path)
  }
}
