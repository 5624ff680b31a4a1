import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCodeOf } from '@platter/core'

/** Says that a pin is being changed. Ends with the process, however it ends. */
export interface PinLock {
  release(): Promise<void>
}

const RETRY_MILLIS = 10
/**
 * After so many tries whoever holds the lock is held up itself, and it is ignored: without it one of two changes may be
 * lost, and the pin then lags until the next, which is no harm. It takes milliseconds to make one.
 */
const MAX_TRIES = 1000

/**
 * Waits for its turn to change a file that is replaced with each change. Node has no file locks; what Linux has instead is
 * a name space of sockets that belong to processes, and vanish with them. Elsewhere nobody waits.
 *
 * @throws what the system says where the file's folder cannot be looked at.
 */
export async function holdPinLock(path: string): Promise<PinLock> {
  if (process.platform !== 'linux') return NO_LOCK
  const { dev, ino } = await stat(dirname(path), { bigint: true })
  const file = createHash('sha256').update(basename(path)).digest('hex').slice(0, 32)
  const socket = `\0platter-pin-${dev}-${ino}-${file}`
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const server = await listening(socket)
    if (server !== undefined) return { release: () => new Promise((done) => server.close(() => done())) }
    await sleep(RETRY_MILLIS)
  }
  return NO_LOCK
}

const NO_LOCK: PinLock = Object.freeze({ release: async () => undefined })

/** A socket of that name, or undefined where there is one already. */
async function listening(socket: string): Promise<Server | undefined> {
  const server = createServer()
  return await new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (systemCodeOf(error) === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.listen({ path: socket, exclusive: true }, () => resolve(server))
  })
}
