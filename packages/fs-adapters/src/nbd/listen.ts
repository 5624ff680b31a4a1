import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { resolve } from 'node:path'
import { PlatterError, systemCodeOf } from '@platter/core'

/** Where a server listens: a Unix socket, or a TCP port (0: any that is free) of an address, by default the loopback. */
export type ListenAddress = { readonly path: string } | { readonly port: number; readonly host?: string }

const LOOPBACK = '127.0.0.1'
/** Longest path of a Unix socket that Linux takes. */
const MAX_SOCKET_PATH_BYTES = 107

/**
 * Listens, and says how clients write the address.
 *
 * @throws ERR_INVALID_ARGUMENT, ERR_LISTEN
 */
export async function listen(
  server: Server,
  address: ListenAddress,
  exportName: string,
  secure: boolean,
): Promise<string> {
  const scheme = secure ? 'nbds' : 'nbd'
  const name = exportName === '' ? '' : `/${encodeURIComponent(exportName)}`
  if ('path' in address) {
    const path = resolve(address.path)
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        `The path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes; ${path} has more.`,
        { path },
      )
    }
    await removeStale(path)
    await started(server, path, () => server.listen({ path, exclusive: true }))
    await chmod(path, 0o600)
    return `${scheme}+unix://${name || '/'}?socket=${encodeURIComponent(path).replaceAll('%2F', '/')}`
  }
  const { port, host = LOOPBACK } = address
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new PlatterError('ERR_INVALID_ARGUMENT', `${port} is no TCP port.`)
  await started(server, `${host}:${port}`, () => server.listen({ port, host, exclusive: true }))
  const bound = server.address()
  const chosen = typeof bound === 'object' && bound !== null ? bound.port : port
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${chosen}${name}`
}

/** Removes the socket of a server that has ended; Node does so, but not where the server's thread was stopped. */
export async function removeSocket(address: ListenAddress): Promise<void> {
  if ('path' in address) await unlink(resolve(address.path)).catch(() => undefined)
}

/** Removes a socket that nobody listens on any more, such as that of a server that was killed. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) {
    throw new PlatterError('ERR_LISTEN', `${path} is there already, and is no socket. Choose another path.`, {
      path,
      systemCode: 'EEXIST',
    })
  }
  const taken = await new Promise<boolean>((resolve) => {
    const probe = connect({ path })
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error) => resolve(systemCodeOf(error) !== 'ECONNREFUSED'))
  })
  if (!taken) await unlink(path).catch(() => undefined)
}

function started(server: Server, where: string, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => {
      const why = cause.code === 'EADDRINUSE' ? 'another server is there' : cause.message
      reject(
        new PlatterError('ERR_LISTEN', `Cannot listen on ${where}: ${why}.`, {
          path: where,
          cause,
          ...(cause.code === undefined ? {} : { systemCode: cause.code }),
        }),
      )
    }
    server.once('error', fail)
    server.once('listening', () => {
      server.off('error', fail)
      resolve()
    })
    start()
  })
}
