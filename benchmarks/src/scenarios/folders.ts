import { statfs } from 'node:fs/promises'
import { freemem, tmpdir } from 'node:os'

const SHARED_MEMORY = '/dev/shm'

/** The magic number of tmpfs in statfs(2). */
const TMPFS_MAGIC = 0x01021994

export interface WorkFolders {
  readonly repoDir: string
  readonly targetDir: string
}

/** Chooses where repositories and restored images go: in memory when they fit, else in the temporary folder. */
export async function chooseFolders(
  wanted: { readonly repoDir?: string; readonly targetDir?: string },
  needs: { readonly repoBytes: number; readonly targetBytes: number },
): Promise<WorkFolders> {
  const roomBytes = Math.min(await freeBytes(SHARED_MEMORY), freemem())
  const repoDir = wanted.repoDir ?? (roomBytes > needs.repoBytes ? SHARED_MEMORY : tmpdir())
  const bothFit = roomBytes > needs.repoBytes + needs.targetBytes
  return { repoDir, targetDir: wanted.targetDir ?? (bothFit ? SHARED_MEMORY : tmpdir()) }
}

/** Tells whether a folder is kept in memory. */
export async function isTmpfs(folder: string): Promise<boolean> {
  return (await statfs(folder)).type === TMPFS_MAGIC
}

async function freeBytes(folder: string): Promise<number> {
  const stats = await statfs(folder).catch(() => undefined)
  return stats === undefined ? 0 : stats.bavail * stats.bsize
}
