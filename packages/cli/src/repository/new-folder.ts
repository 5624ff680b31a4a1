import { readdir, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { PlatterError, systemCodeOf } from '@platter/core'

/**
 * Refuses to start a repository among other files.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export async function assertEmptyOrRepository(path: string): Promise<void> {
  const entries = await readdir(path).catch((error: unknown) => {
    const code = systemCodeOf(error)
    if (code === 'ENOENT') return []
    if (code === 'ENOTDIR')
      throw new PlatterError('ERR_INVALID_ARGUMENT', `'${path}' is not a folder.`, { path })
    throw new PlatterError('ERR_STORE_ACCESS', `The folder '${path}' cannot be read (${code}).`, {
      path,
      cause: error,
    })
  })
  // A fresh filesystem has lost+found; hidden files are left by desktops and by writers that were cut off.
  const others = entries.filter((name) => !name.startsWith('.') && name !== 'lost+found')
  if (others.length === 0 || others.includes('config')) return
  throw new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `'${path}' holds other files, such as '${others[0]}'. Choose a new or an empty folder.`,
    { path },
  )
}

/** The folders that `path` needs and that are not there yet, deepest first. */
export async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = []
  for (let at = resolve(path); (await isAbsent(at)) && at !== dirname(at); at = dirname(at)) missing.push(at)
  return missing
}

/** Takes back the folders that a failed start has left, as far as nothing is in them. */
export async function removeEmptyFolders(folders: readonly string[]): Promise<void> {
  const [deepest] = folders
  if (deepest !== undefined) await removeEmptyFoldersIn(deepest)
  for (const folder of folders) await rmdir(folder).catch(() => {})
}

async function removeEmptyFoldersIn(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    if (!entry.isDirectory()) continue
    const path = join(folder, entry.name)
    await removeEmptyFoldersIn(path)
    await rmdir(path).catch(() => {})
  }
}

async function isAbsent(path: string): Promise<boolean> {
  return await stat(path).then(
    () => false,
    (error: unknown) => systemCodeOf(error) === 'ENOENT',
  )
}
