import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Sums the sizes of the files under a folder, in bytes; 0 when there is none. */
export async function folderBytes(folder: string): Promise<number> {
  const items = await readdir(folder, { recursive: true, withFileTypes: true }).catch(ignoreMissing)
  const sizes = items
    .filter((item) => item.isFile())
    .map(async (item) => (await lstat(join(item.parentPath, item.name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

function ignoreMissing(error: NodeJS.ErrnoException): [] {
  if (error.code === 'ENOENT') return []
  throw error
}
