import { randomBytes } from 'node:crypto'
import { open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * Replaces a file as a whole: a new one is written beside it, synced, and renamed. When it resolves, that is durable;
 * otherwise the old content or the new is there, whole.
 *
 * @throws the error of the file system
 */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const folder = dirname(path)
  const written = join(folder, `.${basename(path)}.${randomBytes(8).toString('hex')}.tmp`)
  try {
    const file = await open(written, 'wx', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(written, path)
  } catch (error) {
    await unlink(written).catch(() => undefined)
    throw error
  }
  await syncFolder(folder)
}

/** Makes what was renamed or removed in a folder durable, where folders can be synced. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
