import type { FileHandle } from 'node:fs/promises'
import { createServer } from 'node:net'
import { PlatterError } from '@platter/core'

/** Says that this process, and no other, uses a file. Ends with the process, however it ends. */
export interface FileClaim {
  release(): Promise<void>
}

/**
 * Claims an open file. Node has no file locks; what Linux has instead is a name space of sockets that belong to
 * processes, and vanish with them. Elsewhere nothing is claimed.
 *
 * @throws ERR_OVERLAY_IN_USE
 */
export async function claimFile(file: FileHandle, path: string): Promise<FileClaim> {
  if (process.platform !== 'linux') return { release: async () => undefined }
  const { dev, ino } = await file.stat({ bigint: true })
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const inUse = error.code === 'EADDRINUSE'
      reject(
        inUse
          ? new PlatterError('ERR_OVERLAY_IN_USE', `Another process is using the overlay '${path}'.`, {
              path,
            })
          : error,
      )
    })
    server.listen({ path: `\0platter-overlay-${dev}-${ino}`, exclusive: true }, resolve)
  })
  server.unref()
  return { release: () => new Promise((resolve) => server.close(() => resolve())) }
}
